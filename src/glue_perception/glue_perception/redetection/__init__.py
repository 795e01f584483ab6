"""Lost objects are found again in the background, without a frame waiting and without guessing."""

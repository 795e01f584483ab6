"""Who is missed of a graph, and since when."""

import pytest

from glue_bringup.loop.peers import EPISODE_OVER_S, Peers, gone


class TestPeers:
    def test_only_who_was_there_is_missed(self) -> None:
        now_s = [10.0]
        peers = Peers(lambda: now_s[0])
        peers.note("arm_node", False)
        assert peers.lost() == ()
        for name in ("policy_node", "arm_node"):
            peers.note(name, True)
            peers.note(name, False)
        peers.note("arm_node", False)
        assert gone(peers.lost()) == "arm_node and policy_node are gone"
        now_s[0] += 0.25
        assert peers.lost(0.25) == ("arm_node", "policy_node") and peers.lost(0.3) == ()
        peers.note("arm_node", True)
        assert gone(peers.lost()) == "policy_node is gone"
        peers.forget_lost()
        assert peers.lost() == ()
        assert peers.is_down("policy_node") and not peers.is_down("arm_node")

    def test_who_was_replaced_in_no_time_is_missed_too(self) -> None:
        peers = Peers()
        for life in (7, 7, 8, 8, 7):  # the last one was under way for long
            peers.note_life("perception_node", life)
        assert peers.lost(100.0) == ("perception_node",)
        peers.forget_lost()
        peers.note_life("perception_node", 8)
        assert peers.lost() == ()

    def test_who_hangs_is_missed_until_it_goes_on(self) -> None:
        now_s = [10.0]
        peers = Peers(lambda: now_s[0])
        peers.note_hang("camera_node", True)
        assert peers.lost() == ("camera_node",)
        peers.forget_lost()
        assert peers.lost() == ()
        peers.note_hang("camera_node", True)  # it says so again and again
        assert peers.lost() == ("camera_node",)
        peers.note_hang("camera_node", False)
        peers.note("policy_node", True)
        peers.note_hang("policy_node", True)
        assert peers.lost() == ("policy_node",) and not peers.is_down("policy_node")
        peers.note_hang("policy_node", False)
        assert peers.lost() == ()
        peers.note_hang("policy_node", True)
        peers.note("policy_node", False)
        peers.note_hang("policy_node", False)  # was under way when it was killed
        assert peers.lost() == ("policy_node",) and peers.is_down("policy_node")

    @pytest.mark.parametrize("note", [lambda p, ok: p.note("a", ok), lambda p, ok: p.note_hang("a", not ok)])
    def test_who_stood_still_for_long_is_missed_until_the_next_episode(self, note) -> None:
        now_s = [10.0]
        peers = Peers(lambda: now_s[0])
        note(peers, True)
        for stood_still_s, missed in ((0.9 * EPISODE_OVER_S, ()), (1.1 * EPISODE_OVER_S, ("a",))):
            note(peers, False)
            now_s[0] += stood_still_s
            note(peers, True)
            assert peers.lost(EPISODE_OVER_S) == missed
        peers.forget_lost()
        assert peers.lost() == ()

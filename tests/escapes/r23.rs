//! R23: the place of a volume in a container is exchanged while files are copied there.

use tests::escape::{Kind, Row, Target};
use tests::{control, held};

use crate::copies::{Way, reaches_the_host};
use crate::race::Until;

pub(crate) const ROW: Row = Row {
    id: "R23",
    title: "copies to a volume whose place is exchanged",
    faults: &["CVE-2026-41568", "CVE-2026-42306"],
    kinds: &[Kind::BruteRace],
    defence: "container/src/view.rs: cp joins the container's user and mount namespaces and mounts nothing",
};

held!(nothing_is_reached, [root, user] needs [c_compiler()], |brig| {
    assert!(!reaches_the_host(brig, "", Way::Volume, Until::Held));
});

control!(without_the_view, Target::Weakened("engine-copy-view"), [root] needs [c_compiler()], |brig| {
    reaches_the_host(&brig.with_seams(), "engine-copy-view", Way::Volume, Until::Lost)
});

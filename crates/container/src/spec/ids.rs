//! The user namespace: whether there is one, and its maps.

use idmap::{Map, Span};
use oci::runtime::IdMapping;

use crate::error::{Error, Result};
use crate::host::{Host, IdSource};
use crate::options::Options;
use crate::protection::Protection;
use crate::value::ids::{DEFAULT_SIZE, UserNamespace};
use crate::value::user::Resolved;
use crate::weakening::{WeakeningKind, Weakenings};

/// The maps of the container's user namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Maps {
    pub(crate) uids: Map,
    pub(crate) gids: Map,
}

/// Most ids of a rootless map: all that a user has.
const ALL: u32 = u32::MAX - 1;

/// Chooses the maps; `None` means that the container shares the host's user namespace.
pub(crate) fn maps(
    options: &Options,
    user: &Resolved,
    host: &Host,
    weakenings: &mut Weakenings,
    protections: &mut Vec<Protection>,
) -> Result<Option<Maps>> {
    let maps = choose(options, user, host, weakenings, protections)?;
    if host.is_rootless()
        && let Some(Maps { uids, gids }) = &maps
        && (uids.to_container(host.uid).is_none() || gids.to_container(host.gid).is_none())
    {
        return Err(Error::NotYet {
            what: format!("a map without your own id (`--userns {}`)", name(&options.namespaces.user)),
            instead: "your images belong to you: keep your id in the map",
        });
    }
    Ok(maps)
}

fn choose(
    options: &Options,
    user: &Resolved,
    host: &Host,
    weakenings: &mut Weakenings,
    protections: &mut Vec<Protection>,
) -> Result<Option<Maps>> {
    let request = &options.namespaces;
    if !request.uid_map.is_empty() || !request.gid_map.is_empty() {
        if request.user != UserNamespace::Default {
            return Err(Error::Conflict {
                first: "--userns".into(),
                second: "--uidmap".into(),
                reason: "a map says everything about the user namespace",
            });
        }
        protections.push(Protection::applied("user namespace"));
        return explicit(options, host, weakenings).map(Some);
    }
    let maps = match (&request.user, &host.ids) {
        (UserNamespace::Host, _) if !host.is_rootless() => {
            weakenings.open(
                WeakeningKind::Namespace,
                "--userns=host",
                "the ids of the host: root inside is root outside",
            );
            protections.push(Protection::weaker("user namespace", "`--userns=host`"));
            return Ok(None);
        }
        (UserNamespace::Default, IdSource::Range(span)) => range(*span, span.count.min(DEFAULT_SIZE))?,
        (UserNamespace::Auto { size }, IdSource::Range(span)) if *size <= span.count => range(*span, *size)?,
        (UserNamespace::Auto { size }, IdSource::Range(_)) => {
            return Err(Error::value(
                "--userns",
                format!("auto:size={size}"),
                "a container has at most 65536 ids",
            ));
        }
        (UserNamespace::KeepId { .. } | UserNamespace::NoMap, IdSource::Range(_))
        | (UserNamespace::Host, IdSource::Range(_)) => {
            return Err(Error::value(
                "--userns",
                name(&request.user),
                "it is for plain users; root has no own id to keep",
            ));
        }
        (UserNamespace::Default | UserNamespace::Host, IdSource::Subordinate { uids, gids }) => {
            Maps { uids: Map::rootless(host.uid, uids, ALL)?, gids: Map::rootless(host.gid, gids, ALL)? }
        }
        (UserNamespace::KeepId { uid, gid }, IdSource::Subordinate { uids, gids }) => Maps {
            uids: Map::keep_id(host.uid, uid.unwrap_or(host.uid), uids, ALL)?,
            gids: Map::keep_id(host.gid, gid.unwrap_or(host.gid), gids, ALL)?,
        },
        (UserNamespace::NoMap, IdSource::Subordinate { uids, gids }) => {
            Maps { uids: subordinate_only(uids, ALL)?, gids: subordinate_only(gids, ALL)? }
        }
        (UserNamespace::Auto { size }, IdSource::Subordinate { uids, gids }) => {
            let maps = Maps { uids: subordinate_only(uids, *size)?, gids: subordinate_only(gids, *size)? };
            if maps.uids.count() < u64::from(*size) || maps.gids.count() < u64::from(*size) {
                let reason = "there are fewer subordinate ids than that";
                return Err(Error::value("--userns", format!("auto:size={size}"), reason));
            }
            maps
        }
        (UserNamespace::Auto { .. } | UserNamespace::NoMap, IdSource::Single(_)) => {
            return Err(Error::value(
                "--userns",
                name(&request.user),
                "it needs subordinate ids: see `brig doctor`",
            ));
        }
        (UserNamespace::KeepId { uid, gid }, IdSource::Single(reason)) => {
            protections.push(Protection::weaker("user namespace", reason.clone()));
            let (uid, gid) = (uid.unwrap_or(host.uid), gid.unwrap_or(host.gid));
            return Ok(Some(Maps { uids: Map::single(uid, host.uid)?, gids: Map::single(gid, host.gid)? }));
        }
        (UserNamespace::Default | UserNamespace::Host, IdSource::Single(reason)) => {
            // One id is all there is, so it is the one that the program runs as.
            protections.push(Protection::weaker("user namespace", reason.clone()));
            return Ok(Some(Maps {
                uids: Map::single(user.uid, host.uid)?,
                gids: Map::single(user.gid, host.gid)?,
            }));
        }
    };
    protections.push(Protection::applied("user namespace"));
    Ok(Some(maps))
}

fn name(request: &UserNamespace) -> &'static str {
    match request {
        UserNamespace::Default => "private",
        UserNamespace::Host => "host",
        UserNamespace::KeepId { .. } => "keep-id",
        UserNamespace::Auto { .. } => "auto",
        UserNamespace::NoMap => "nomap",
    }
}

fn range(span: Span, size: u32) -> Result<Maps> {
    let map = Map::contiguous(0, span.start, size)?;
    Ok(Maps { uids: map.clone(), gids: map })
}

fn subordinate_only(spans: &[Span], limit: u32) -> Result<Map> {
    let mut ranges = Vec::new();
    let mut next = 0_u32;
    for span in spans {
        let size = span.count.min(limit - next);
        if size > 0 {
            ranges.push(IdMapping { container_id: next, host_id: span.start, size });
            next += size;
        }
    }
    Ok(Map::new(ranges)?)
}

/// `--uidmap` and `--gidmap`: one without the other stands for both. For root the middle number is an id of
/// the host; for a plain user it counts in his own ids, 0 being himself and 1 his first subordinate id.
fn explicit(options: &Options, host: &Host, weakenings: &mut Weakenings) -> Result<Maps> {
    let request = &options.namespaces;
    let uids = if request.uid_map.is_empty() { &request.gid_map } else { &request.uid_map };
    let gids = if request.gid_map.is_empty() { &request.uid_map } else { &request.gid_map };
    match &host.ids {
        IdSource::Range(_) => {
            let maps = Maps { uids: Map::new(uids.clone())?, gids: Map::new(gids.clone())? };
            if maps.uids.to_container(0).is_some() || maps.gids.to_container(0).is_some() {
                let flag = if request.uid_map.is_empty() { "--gidmap" } else { "--uidmap" };
                weakenings.open(WeakeningKind::Namespace, flag, "an id of the host's root");
            }
            Ok(maps)
        }
        IdSource::Subordinate { uids: own_uids, gids: own_gids } => Ok(Maps {
            uids: translate("--uidmap", uids, &Map::rootless(host.uid, own_uids, ALL)?)?,
            gids: translate("--gidmap", gids, &Map::rootless(host.gid, own_gids, ALL)?)?,
        }),
        IdSource::Single(_) => Ok(Maps {
            uids: translate("--uidmap", uids, &Map::single(0, host.uid)?)?,
            gids: translate("--gidmap", gids, &Map::single(0, host.gid)?)?,
        }),
    }
}

/// Replaces positions in the caller's own ids by ids of the host, splitting at the borders of his ranges.
fn translate(flag: &'static str, wanted: &[IdMapping], own: &Map) -> Result<Map> {
    let mut ranges = Vec::new();
    for mapping in wanted {
        let (mut inside, mut position, mut left) = (mapping.container_id, mapping.host_id, mapping.size);
        while left > 0 {
            let Some(range) = own.ranges().iter().find(|range| {
                position.checked_sub(range.container_id).is_some_and(|offset| offset < range.size)
            }) else {
                let text = format!("{}:{}:{}", mapping.container_id, mapping.host_id, mapping.size);
                return Err(Error::value(flag, text, "you have no such subordinate ids: see `brig doctor`"));
            };
            let offset = position - range.container_id;
            let size = left.min(range.size - offset);
            ranges.push(IdMapping { container_id: inside, host_id: range.host_id + offset, size });
            left -= size;
            inside = inside.saturating_add(size);
            position = position.saturating_add(size);
        }
    }
    Ok(Map::new(ranges)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_become_host_ids() {
        let own = Map::rootless(
            1000,
            &[Span { start: 100_000, count: 10 }, Span { start: 300_000, count: 10 }],
            ALL,
        )
        .unwrap();
        let mapping = |container_id, host_id, size| IdMapping { container_id, host_id, size };
        let got = translate("--uidmap", &[mapping(0, 5, 10)], &own).unwrap();
        assert_eq!(got.ranges(), [mapping(0, 100_004, 6), mapping(6, 300_000, 4)]);
        assert!(translate("--uidmap", &[mapping(0, 15, 10)], &own).is_err());
        let me = translate("--uidmap", &[mapping(1000, 0, 1)], &own).unwrap();
        assert_eq!(me.ranges(), [mapping(1000, 1000, 1)]);
    }

    #[test]
    fn the_callers_own_id_can_be_left_out() {
        let map = subordinate_only(&[Span { start: 100_000, count: 65_536 }], ALL).unwrap();
        assert_eq!(map.to_host(0), Some(100_000));
        assert_eq!(map.to_container(1000), None);
    }
}

//! `/etc/subuid` and `/etc/subgid`: what is missing, misspelt, in the wrong file, or given twice.

use super::{Facts, Finding, Privilege};
use crate::{Side, Span, SubordinateEntry, spelling};

/// Ids that images take for granted: `nobody` is 65534.
const ENOUGH: u64 = 65_536;

/// Most findings of one kind: a broken file must not print a thousand lines.
const MAX_OF_A_KIND: usize = 20;

pub(super) fn judge(facts: &Facts, findings: &mut Vec<Finding>) {
    if !facts.from_service {
        misspelt_files(facts, findings);
        for side in [Side::Uid, Side::Gid] {
            faults(facts, side, findings);
            unknown_owners(facts, side, findings);
            owners_without_partner(facts, side, findings);
            overlaps(facts, side, findings);
        }
    }
    if facts.privilege == Privilege::User {
        for side in [Side::Uid, Side::Gid] {
            findings.push(own_ids(facts, side));
        }
    }
}

const fn name(side: Side) -> &'static str {
    match side {
        Side::Uid => "subuid",
        Side::Gid => "subgid",
    }
}

const fn other(side: Side) -> Side {
    match side {
        Side::Uid => Side::Gid,
        Side::Gid => Side::Uid,
    }
}

fn misspelt_files(facts: &Facts, findings: &mut Vec<Finding>) {
    for lookalike in facts.lookalikes.iter().take(MAX_OF_A_KIND) {
        let distance = |side: Side| spelling::distance(lookalike, side.subordinate_file());
        let closer = if distance(Side::Gid) < distance(Side::Uid) { Side::Gid } else { Side::Uid };
        // Where only one of the two exists, the misspelt one was meant to be the other.
        let meant = match (&facts.subuid, &facts.subgid) {
            (Some(_), None) => Side::Gid,
            (None, Some(_)) => Side::Uid,
            _ => closer,
        };
        let file = meant.subordinate_file();
        let mend = if facts.table(meant).is_none() {
            format!("mv /etc/{lookalike} /etc/{file}")
        } else {
            format!("cat /etc/{lookalike} >> /etc/{file} && rm /etc/{lookalike}")
        };
        let detail = format!("`/etc/{lookalike}` is read by nobody: `/etc/{file}` was meant");
        findings.push(Finding::weaker(name(meant), detail, Some(mend)));
    }
}

fn faults(facts: &Facts, side: Side, findings: &mut Vec<Finding>) {
    let Some(table) = facts.table(side) else { return };
    let file = side.subordinate_file();
    for fault in table.faults.iter().take(MAX_OF_A_KIND) {
        findings.push(Finding::weaker(
            name(side),
            format!("line {} of `/etc/{file}` {}", fault.line, fault.reason),
            Some(format!("sed -i '{}s/^/# /' /etc/{file}", fault.line)),
        ));
    }
}

/// Lines whose owner is no account here.
fn unknown_owners(facts: &Facts, side: Side, findings: &mut Vec<Finding>) {
    let Some(table) = facts.table(side) else { return };
    let file = side.subordinate_file();
    let unknown = table.entries.iter().filter(|row| !is_known(facts, row));
    for row in unknown.take(MAX_OF_A_KIND) {
        let (owner, line) = (plain(&row.owner), row.line);
        let known = facts.accounts.iter().map(|(name, _)| name.as_str());
        // A name that already has a line of its own here is not the one that was meant.
        let free = known.filter(|name| !table.entries.iter().any(|row| row.owner == *name));
        let (hint, mend) = match spelling::nearest(&row.owner, free) {
            Some(meant) => (
                format!(", did you mean `{}`?", plain(meant)),
                is_shell_safe(&row.owner, meant)
                    .then(|| format!("sed -i '{line}s/^{owner}:/{meant}:/' /etc/{file}")),
            ),
            None => (String::new(), Some(format!("sed -i '{line}d' /etc/{file}"))),
        };
        let detail = format!("line {line} of `/etc/{file}` is for `{owner}`, which is no user here{hint}");
        findings.push(Finding::weaker(name(side), detail, mend));
    }
}

/// Owners with a line in this file and none in the other.
fn owners_without_partner(facts: &Facts, side: Side, findings: &mut Vec<Finding>) {
    let Some(table) = facts.table(side) else { return };
    let (file, missing) = (side.subordinate_file(), other(side).subordinate_file());
    let empty = Vec::new();
    let partners = facts.table(other(side)).map_or(&empty, |table| &table.entries);
    let mut seen: Vec<&str> = Vec::new();
    for row in &table.entries {
        if seen.contains(&row.owner.as_str()) || seen.len() >= MAX_OF_A_KIND {
            continue;
        }
        if partners.iter().any(|partner| same_owner(facts, partner, row)) {
            continue;
        }
        seen.push(&row.owner);
        let owner = plain(&row.owner);
        let near = spelling::nearest(&row.owner, partners.iter().map(|partner| partner.owner.as_str()));
        let lines: Vec<&SubordinateEntry> =
            table.entries.iter().filter(|other| other.owner == row.owner).collect();
        let finding = match (near, lines.as_slice()) {
            (Some(near), _) if !table.entries.iter().any(|row| row.owner == near) => {
                let mend = is_shell_safe(&row.owner, near)
                    .then(|| format!("sed -i 's/^{near}:/{owner}:/' /etc/{missing}"));
                let near = plain(near);
                let detail = format!(
                    "`/etc/{file}` has ids for `{owner}`, `/etc/{missing}` for `{near}`: one is misspelt"
                );
                // Either name may be right: an account decides.
                let account_is = |name: &str| facts.accounts.iter().any(|(known, _)| known == name);
                let turned = account_is(&near) && !account_is(&row.owner);
                let mend = if turned && is_shell_safe(&near, &row.owner) {
                    Some(format!("sed -i 's/^{owner}:/{near}:/' /etc/{file}"))
                } else {
                    mend
                };
                Finding::weaker(name(side), detail, mend)
            }
            (_, [_, second, ..]) => {
                let detail = format!(
                    "line {} of `/etc/{file}` is a second one for `{owner}`, who has none in `/etc/{missing}`: it was \
                     probably meant for that file",
                    second.line
                );
                let mend = is_shell_safe(&row.owner, "").then(|| {
                    let line = second.line;
                    format!("sed -n {line}p /etc/{file} >> /etc/{missing} && sed -i {line}d /etc/{file}")
                });
                Finding::weaker(name(other(side)), detail, mend)
            }
            _ => Finding::weaker(
                name(other(side)),
                format!("`{owner}` has ids in `/etc/{file}` and none in `/etc/{missing}`"),
                give(facts, other(side), &row.owner),
            ),
        };
        findings.push(finding);
    }
}

fn overlaps(facts: &Facts, side: Side, findings: &mut Vec<Finding>) {
    let Some(table) = facts.table(side) else { return };
    let file = side.subordinate_file();
    let mut sorted: Vec<&SubordinateEntry> = table.entries.iter().collect();
    sorted.sort_by_key(|row| row.span);
    let mut count = 0;
    // The span that reaches furthest of those before: a neighbour alone would miss nested spans.
    let mut furthest: Option<&SubordinateEntry> = None;
    for row in sorted {
        if let Some(before) = furthest.filter(|before| before.span.overlaps(row.span))
            && count < MAX_OF_A_KIND
        {
            count += 1;
            let (first, second) = if before.line < row.line { (before, row) } else { (row, before) };
            let whose = if first.owner == second.owner {
                format!("both of `{}`, share ids", plain(&first.owner))
            } else {
                format!(
                    "of `{}` and `{}`, share ids: each can touch the other's files",
                    plain(&first.owner),
                    plain(&second.owner)
                )
            };
            findings.push(Finding::weaker(
                name(side),
                format!("lines {} and {} of `/etc/{file}`, {whose}", first.line, second.line),
                replace(facts, side, second),
            ));
        }
        if furthest.is_none_or(|before| before.span.last() < row.span.last()) {
            furthest = Some(row);
        }
    }
    let (kind, real) = match side {
        Side::Uid => ("user", &facts.accounts),
        Side::Gid => ("group", &facts.groups),
    };
    for row in table.entries.iter().take(crate::read::MAX_LINES) {
        let Some((owner, id)) = real.iter().find(|(_, id)| row.span.contains(*id)) else { continue };
        count += 1;
        if count > 2 * MAX_OF_A_KIND {
            break;
        }
        findings.push(Finding::weaker(
            name(side),
            format!(
                "line {} of `/etc/{file}` gives `{}` the id {id} of the real {kind} `{}`",
                row.line,
                plain(&row.owner),
                plain(owner)
            ),
            replace(facts, side, row),
        ));
    }
}

/// The user's own ids: none, too few, or enough.
fn own_ids(facts: &Facts, side: Side) -> Finding {
    let spans = match side {
        Side::Uid => &facts.subordinate.uids,
        Side::Gid => &facts.subordinate.gids,
    };
    let user = facts.subordinate.name.clone().unwrap_or_else(|| facts.uid.to_string());
    let count: u64 = spans.iter().map(|span| u64::from(span.count)).sum();
    let source = if facts.from_service { "the directory service" } else { side.subordinate_file() };
    if count == 0 {
        let what = if !facts.from_service && facts.table(side).is_none() {
            format!("`/etc/{source}` does not exist: only your own id can be mapped")
        } else {
            format!("`{}` has no ids in {source}: only your own id can be mapped", plain(&user))
        };
        return Finding::weaker(
            name(side),
            what,
            if facts.from_service { None } else { give(facts, side, &user) },
        );
    }
    if count < ENOUGH {
        let detail = format!("`{}` has {count} ids, images use up to {ENOUGH}", plain(&user));
        return Finding::weaker(
            name(side),
            detail,
            if facts.from_service { None } else { give(facts, side, &user) },
        );
    }
    Finding::applied(name(side), format!("{count} ids for `{}`", plain(&user)))
}

/// The command that gives a user a free range.
fn give(facts: &Facts, side: Side, user: &str) -> Option<String> {
    let span = free_range(facts)?;
    let file = side.subordinate_file();
    if !is_shell_safe(user, "") {
        return None;
    }
    // usermod knows the users of /etc/passwd alone.
    Some(if facts.accounts.iter().any(|(name, _)| name == user) {
        format!("usermod --add-{file}s {}-{} {user}", span.start, span.last())
    } else {
        format!("echo {user}:{}:{} >> /etc/{file}", span.start, span.count)
    })
}

/// The command that puts a free range in the place of a line's.
fn replace(facts: &Facts, side: Side, row: &SubordinateEntry) -> Option<String> {
    let span = free_range(facts)?;
    let file = side.subordinate_file();
    is_shell_safe(&row.owner, "").then(|| {
        format!("sed -i '{}s/.*/{}:{}:{}/' /etc/{file}", row.line, row.owner, span.start, span.count)
    })
}

/// 65,536 ids that nobody has, from shadow-utils' first (SUB_UID_MIN 100,000) on.
fn free_range(facts: &Facts) -> Option<Span> {
    let tables = facts.subuid.iter().chain(&facts.subgid).flat_map(|table| &table.entries);
    let mut taken: Vec<Span> = tables.map(|row| row.span).collect();
    let real = facts.accounts.iter().chain(&facts.groups);
    taken.extend(real.map(|(_, id)| Span { start: *id, count: 1 }));
    let slot = |index: u32| Span { start: 100_000 + index * 65_536, count: 65_536 };
    // Up to shadow-utils' SUB_UID_MAX, 600,100,000.
    (0..9_155).map(slot).find(|span| !taken.iter().any(|other| other.overlaps(*span)))
}

fn is_known(facts: &Facts, row: &SubordinateEntry) -> bool {
    // The engine's own pool has no account, and ids from a directory service have none in the file.
    row.owner == crate::allocate::POOL_OWNER
        || row.is_of(facts.subordinate.name.as_deref(), facts.uid)
        || facts.accounts.iter().any(|(name, uid)| row.is_of(Some(name), *uid))
}

fn same_owner(facts: &Facts, left: &SubordinateEntry, right: &SubordinateEntry) -> bool {
    left.owner == right.owner
        || facts
            .accounts
            .iter()
            .any(|(name, uid)| left.is_of(Some(name), *uid) && right.is_of(Some(name), *uid))
}

/// A name as it may be printed.
fn plain(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(64).collect()
}

/// Whether both may stand in a shell command and a sed pattern as they are.
fn is_shell_safe(left: &str, right: &str) -> bool {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    left.len() + right.len() <= 128 && left.bytes().chain(right.bytes()).all(safe) && !left.starts_with('-')
}

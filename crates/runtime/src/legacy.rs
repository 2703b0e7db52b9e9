//! What specs before 1.3 mean by a value that 1.3 reads in another way.

use oci::runtime::{Resources, Spec};

/// Takes away a limit of 0 processes that an engine wrote to say "no limit".
///
/// Until 1.3 the field could not be left out, and runc before 1.4 ignored 0: podman writes it for
/// `--pids-limit 0` and `pids_limit = 0`. Read as 1.3 has it, such a container could not fork.
pub(crate) fn drop_unlimited_pids(spec: &Spec, resources: &mut Resources) {
    let zero = resources.pids.as_ref().is_some_and(|pids| pids.limit == Some(0));
    if zero && is_before_1_3(&spec.oci_version) {
        resources.pids = None;
    }
}

/// Whether a version such as `1.0.2-dev` is older than 1.3; one that cannot be read is not.
fn is_before_1_3(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < (1, 3),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use oci::runtime::Pids;

    use super::*;

    #[test]
    fn no_processes_meant_no_limit() {
        for (version, limit, kept) in [
            ("1.0.2-dev", 0, false),
            ("1.2.1", 0, false),
            ("1.3.0", 0, true),
            ("2.0.0", 0, true),
            ("", 0, true),
            ("1.0.2", 1, true),
            ("1.0.2", -1, true),
        ] {
            let spec = Spec { oci_version: version.to_owned(), ..Spec::default() };
            let mut resources = Resources { pids: Some(Pids { limit: Some(limit) }), ..Resources::default() };
            drop_unlimited_pids(&spec, &mut resources);
            assert_eq!(resources.pids.is_some(), kept, "{version} {limit}");
        }
    }
}

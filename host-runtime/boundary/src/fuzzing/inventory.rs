//! A list of hosts from another program: every host that comes out of a list without a fault can stand on a command line
//! and in a DNS name, there is one of each name, and what is said about the list can stand on a terminal.
//!
//! The first byte chooses who is said to have written it; the rest is the list.

use crate::inventory::{Format, Remark, host_label, is_address, is_user, read};

pub(super) fn target(data: &[u8]) {
    let Some((first, text)) = data.split_first() else { return };
    promises(
        text,
        match first {
            b't' => Some(Format::Terraform),
            b'a' => Some(Format::Ansible),
            _ => None,
        },
    );
}

pub(crate) fn promises(text: &[u8], format: Option<Format>) {
    let list = read(text, format);
    assert_eq!(list, read(text, format), "the same text is the same list");
    for Remark { summary, detail, .. } in &list.remarks {
        let bad = |c: char| c.is_control() && c != '\n';
        assert!(!summary.contains(bad) && !summary.contains('\n'), "{summary:?}");
        assert!(!detail.as_deref().unwrap_or_default().contains(bad), "{detail:?}");
    }
    if list.is_faulty() {
        return;
    }
    assert!(list.hosts.windows(2).all(|pair| pair[0].name < pair[1].name), "sorted, and no name twice");
    for host in &list.hosts {
        assert_eq!(host_label(&host.name), Ok(()));
        assert!(host.address.iter().chain(&host.private_address).all(|address| is_address(address)));
        assert!(host.user.iter().all(|user| is_user(user)));
        assert!(host.port != Some(0));
    }
}

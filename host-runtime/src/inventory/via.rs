//! Which of a host's addresses is used to reach it.
//!
//! Over the network itself the key of the host's server is looked up under its other address: it is the same server, and
//! that is the name under which an operator came to know it. Not for: connecting.

use super::HostSpec;

/// Which address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Via {
    /// The public one, or else the private one, or else the name as an alias of the ssh_config. Where nothing is reached
    /// there, [`crate::fleet::OverSsh::or_over_the_network`] is for that.
    #[default]
    Auto,
    /// The public one only.
    Public,
    /// The private one only.
    Private,
    /// The host's name in the network, which it must be a member of already.
    Network,
}

impl HostSpec {
    /// Chooses the address. `full_name` is the host's name in the network.
    ///
    /// # Errors
    /// A sentence, where the host has no such address.
    pub fn reach_via(&mut self, via: Via, full_name: Option<String>) -> Result<(), String> {
        let private = self.private_address.clone();
        match via {
            Via::Auto => {}
            // Where there is no public one, the private one stands in its place.
            Via::Public if self.address == private => {
                return Err(format!("host `{}` has no public address", self.name));
            }
            Via::Public => {}
            Via::Private => {
                let none = || format!("host `{}` has no private address", self.name);
                self.address = Some(private.ok_or_else(none)?);
            }
            Via::Network => {
                let full_name = full_name.ok_or_else(|| format!("host `{}` has no name in the network", self.name))?;
                self.known_as = self.address.take();
                self.address = Some(full_name);
                // Whoever is in the network needs no jump host of the project's; what ssh_config says of the name holds.
                self.jump = None;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::parse;

    #[test]
    fn an_address_is_chosen_or_its_absence_told_and_in_the_network_the_key_keeps_its_name() {
        let text = "network: {provider: demo, providers: {demo: {}}}
infra:
  bootstrap: {ssh: {jump: bastion}}
  hosts:
    dev:
      both: {address: 203.0.113.7, private_address: 10.0.0.7}
      inside: {private_address: 10.0.0.8}
      public: {address: 203.0.113.9}
      alias:
";
        let (inventory, ()) = parse(text, "s.yml".as_ref(), "dev", |_, _| Ok(())).expect("it is right");
        let via = |name: &str, via| {
            let mut host = inventory.host(name).expect(name).clone();
            let said = host.reach_via(via, Some(format!("{name}.example.net")));
            said.map(|()| {
                (host.address.unwrap_or_default(), host.known_as.unwrap_or_default(), host.jump.unwrap_or_default())
            })
        };
        let ok = |address: &str, known: &str, jump: &str| Ok((address.to_owned(), known.to_owned(), jump.to_owned()));
        assert_eq!(via("both", Via::Auto), ok("203.0.113.7", "", "bastion"));
        assert_eq!(via("both", Via::Public), ok("203.0.113.7", "", "bastion"));
        assert_eq!(via("both", Via::Private), ok("10.0.0.7", "", "bastion"));
        assert_eq!(via("both", Via::Network), ok("both.example.net", "203.0.113.7", ""));
        assert_eq!(via("inside", Via::Auto), ok("10.0.0.8", "", "bastion"));
        assert_eq!(via("inside", Via::Public), Err("host `inside` has no public address".to_owned()));
        assert_eq!(via("public", Via::Private), Err("host `public` has no private address".to_owned()));
        assert_eq!(via("alias", Via::Auto), ok("", "", "bastion"));
        assert_eq!(via("alias", Via::Network), ok("alias.example.net", "", ""));
        assert_eq!(via("alias", Via::Public), Err("host `alias` has no public address".to_owned()));
    }
}

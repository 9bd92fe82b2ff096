//! Which addresses messages may be sent to: whoever submits an import names any address, and must not reach with it what only the worker can.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Networks that are not the public internet: of this machine, private, of providers, for tests, multicast (`fc00::/6` is all from the private
/// ones to the end), and those by which IPv6 carries addresses of IPv4, among them private ones. From the registries of special-purpose
/// addresses of the IANA.
const NOT_PUBLIC: [&str; 24] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
    "::/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/6",
];

/// Networks beyond the public internet that messages may be sent to, encrypted or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl FromStr for Networks {
    type Err = String;

    /// Networks, or single addresses, with commas between them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let networks = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let networks = networks.map(|part| {
            let network = part
                .parse::<IpNet>()
                .or_else(|_| part.parse::<IpAddr>().map(IpNet::from))
                .map_err(|_| format!("'{part}' is no network: expected one such as 10.0.0.0/8, or an address"))?;
            if let (IpAddr::V4(_), IpNet::V6(_)) = (network.network().to_canonical(), network) {
                return Err(format!("'{part}' holds addresses of IPv4: write them as such"));
            }
            Ok(network)
        });
        Ok(Self(networks.collect::<Result<_, _>>()?))
    }
}

/// Why a message must not go to an address. The address itself is left out, which only the worker's network may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("the address is not a public one: workers send there only with --notify-allow")]
    NotPublic,
    #[error("the address is reached without encryption: use https://")]
    Clear,
}

impl Networks {
    /// Whether a message may go to `address`: anywhere that somebody allowed, and encrypted to any public address.
    ///
    /// # Errors
    /// Why it must not.
    pub(super) fn check(&self, address: IpAddr, encrypted: bool) -> Result<(), Refused> {
        // An address of IPv4 is one, whatever it is written as.
        let address = address.to_canonical();
        match is_public(address) {
            _ if self.0.iter().any(|network| network.contains(&address)) => Ok(()),
            false => Err(Refused::NotPublic),
            true if !encrypted => Err(Refused::Clear),
            true => Ok(()),
        }
    }
}

fn is_public(address: IpAddr) -> bool {
    // Each of them can be read: a test reads them all.
    !NOT_PUBLIC
        .iter()
        .filter_map(|network| network.parse::<IpNet>().ok())
        .any(|network| network.contains(&address))
}

/// Finds a host's addresses, and hands on only those that messages may go to: what is checked is what is connected to.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    pub allowed: Networks,
    pub encrypted: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let mut refused = None;
            let mut allowed = Vec::with_capacity(found.len());
            for address in found {
                match this.allowed.check(address.ip(), this.encrypted) {
                    Ok(()) => allowed.push(address),
                    Err(reason) => refused = Some(reason),
                }
            }
            match (allowed.is_empty(), refused) {
                (true, Some(reason)) => Err(reason.into()),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_that_is_not_public_can_be_read() {
        for network in NOT_PUBLIC {
            let parsed: IpNet = network.parse().unwrap_or_else(|error| panic!("{network}: {error}"));
            assert_eq!(parsed, parsed.trunc(), "{network} has bits beyond its length");
        }
    }

    #[test]
    fn what_is_not_public_is_not_reached_unless_it_is_allowed() {
        let nothing = Networks::default();
        for address in [
            "127.0.0.1",
            "127.8.9.10",
            "0.0.0.0",
            "10.1.2.3",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:0:1::",
            "fd00::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert!(nothing.check(address, true).is_err(), "{address}");
            let only: Networks = address.to_canonical().to_string().parse().unwrap();
            assert!(only.check(address, false).is_ok(), "{address} when it is allowed");
        }
    }

    #[test]
    fn what_is_public_is_reached_encrypted() {
        let nothing = Networks::default();
        for address in [
            "8.8.8.8",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            let address: IpAddr = address.parse().unwrap();
            assert!(nothing.check(address, true).is_ok(), "{address}");
            assert!(nothing.check(address, false).is_err(), "{address} in the clear");
        }
    }

    #[test]
    fn networks_are_told_by_commas() {
        let networks: Networks = "10.0.0.0/8, 192.168.1.7,fd00::/8".parse().unwrap();
        assert_eq!(networks.0.len(), 3);
        assert_eq!("".parse(), Ok(Networks::default()));
        assert!("10.0.0.0/33".parse::<Networks>().is_err());
        assert!("localhost".parse::<Networks>().is_err());
        assert!("::ffff:10.0.0.0/104".parse::<Networks>().is_err());
    }
}

//! Hosts and their ports, as libpq pairs them: lists with commas.

/// What is wrong with two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PairFault {
    #[error("have a port that is none: expected a number from 1 to 65535")]
    Port,
    #[error("are {hosts}, their ports {ports}: name one port for all of them, or one for each")]
    Count { hosts: usize, ports: usize },
    #[error("have one without a name: something is missing before or after a comma")]
    Empty,
}

/// The port where none is said.
const DEFAULT_PORT: u16 = 5432;

/// Pairs hosts with ports: one for all of them, or one for each, of which any may be left out.
pub(super) fn pair(hosts: &str, ports: Option<&str>) -> Result<Vec<(String, u16)>, PairFault> {
    let hosts: Vec<&str> = hosts.split(',').map(str::trim).collect();
    if hosts.len() > 1 && hosts.contains(&"") {
        return Err(PairFault::Empty);
    }
    let ports = match ports {
        Some(ports) => ports.split(',').map(port).collect::<Result<Vec<_>, _>>()?,
        None => vec![DEFAULT_PORT],
    };
    let port_of = |index: usize| match ports.as_slice() {
        [one] => *one,
        each => each[index],
    };
    if ports.len() != 1 && ports.len() != hosts.len() {
        return Err(PairFault::Count {
            hosts: hosts.len(),
            ports: ports.len(),
        });
    }
    let pair = |(index, host): (usize, &str)| (host.to_owned(), port_of(index));
    Ok(hosts.into_iter().enumerate().map(pair).collect())
}

fn port(text: &str) -> Result<u16, PairFault> {
    match text.trim() {
        "" => Ok(DEFAULT_PORT),
        text => text.parse().ok().filter(|&port| port > 0).ok_or(PairFault::Port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_port_is_for_all_and_several_are_for_one_each() {
        let paired = |hosts, ports| {
            let pairs = pair(hosts, ports)?;
            let each: Vec<String> = pairs.iter().map(|(host, port)| format!("{host}:{port}")).collect();
            Ok(each.join(" "))
        };
        for (hosts, ports, expected) in [
            ("a", None, Ok("a:5432")),
            ("a", Some("1"), Ok("a:1")),
            ("a,b", Some("1"), Ok("a:1 b:1")),
            ("a, b", Some("1,2"), Ok("a:1 b:2")),
            ("a,/run/pg,::1", Some("1,,3"), Ok("a:1 /run/pg:5432 ::1:3")),
            ("a,b", Some("1,2,3"), Err(PairFault::Count { hosts: 2, ports: 3 })),
            ("a", Some("1,2"), Err(PairFault::Count { hosts: 1, ports: 2 })),
            ("a,,b", None, Err(PairFault::Empty)),
            ("a,", None, Err(PairFault::Empty)),
            ("a,b", Some("1,x"), Err(PairFault::Port)),
            ("a,b", Some("0"), Err(PairFault::Port)),
        ] {
            assert_eq!(paired(hosts, ports), expected.map(str::to_owned), "{hosts} {ports:?}");
        }
    }
}

//! Ports leased to tasks: one file per port in the state directory, made so that only one can make it.
//!
//! A lease lasts as long as the tree it was made for. Two stores do not know of each other's leases, so each begins
//! to look at a place of its own, and a port that somebody listens on is passed over.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wheelhouse_core::ids::{RunId, TaskKey};

use super::error::Error;
use super::record::{Desk, Stage};

/// The first port that is leased: above what services usually use.
pub const PORT_FIRST: u16 = 20_000;
/// The last: below what systems give to outgoing connections.
pub const PORT_LAST: u16 = 29_999;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Lease {
    store: String,
    run: RunId,
    key: TaskKey,
}

/// The ports of a task: those it has, and as many new ones as are missing.
pub(super) fn lease(desk: &Desk, store: &str, run: RunId, key: &TaskKey, count: usize) -> Result<Vec<u16>, Error> {
    let owner = Lease {
        store: store.to_owned(),
        run,
        key: key.clone(),
    };
    let mut ports: Vec<u16> = Vec::with_capacity(count);
    if count == 0 {
        return Ok(ports);
    }
    let taken = leases(desk)?;
    ports.extend(
        taken
            .iter()
            .filter(|(_, lease)| lease.as_ref() == Some(&owner))
            .map(|(port, _)| *port)
            .take(count),
    );
    let hash = blake3::hash(store.as_bytes());
    let begin = u16::from_le_bytes([hash.as_bytes()[0], hash.as_bytes()[1]]);
    let span = PORT_LAST - PORT_FIRST + 1;
    for step in 0..span {
        if ports.len() == count {
            break;
        }
        let port = PORT_FIRST + (begin % span + step) % span;
        let is_taken = taken.iter().any(|(taken, _)| *taken == port);
        if !is_taken && take(desk, port, &owner)? {
            ports.push(port);
        }
    }
    if ports.len() < count {
        return Err(Error::NoPorts {
            wanted: count,
            first: PORT_FIRST,
            last: PORT_LAST,
        });
    }
    ports.sort_unstable();
    Ok(ports)
}

/// Takes a port, unless somebody has it or listens on it.
fn take(desk: &Desk, port: u16, owner: &Lease) -> Result<bool, Error> {
    let path = desk.ports().join(port.to_string());
    let failed = |source| Error::io("lease a port by", &path, source);
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        Err(source) => return Err(failed(source)),
    };
    // After the lease, so that of two that look at one port at the same time none sees the other's look.
    if !is_free(port) {
        fs::remove_file(&path).map_err(failed)?;
        return Ok(false);
    }
    let text = serde_json::to_vec(owner).map_err(|error| failed(std::io::Error::other(error)))?;
    file.write_all(&text).map_err(failed)?;
    Ok(true)
}

/// Whether nobody listens on the port of this machine.
fn is_free(port: u16) -> bool {
    let here = [
        SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
    ];
    here.iter().all(|address| match TcpListener::bind(address) {
        Ok(_) => true,
        // A machine without IPv6 has nobody listening there.
        Err(error) => matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported),
    })
}

/// Gives a task's ports back.
pub(super) fn release(desk: &Desk, store: &str, run: RunId, key: &TaskKey) -> Result<(), Error> {
    let owner = Lease {
        store: store.to_owned(),
        run,
        key: key.clone(),
    };
    for (port, lease) in leases(desk)? {
        if lease.as_ref() == Some(&owner) {
            give_back(desk, port)?;
        }
    }
    Ok(())
}

/// Gives back every port whose tree is gone, and those of leases that a kill left unreadable.
pub(super) fn reclaim(desk: &Desk, store: &str) -> Result<(), Error> {
    for (port, lease) in leases(desk)? {
        let live = match lease {
            Some(Lease { store: owner, .. }) if owner != store => true,
            Some(Lease { run, key, .. }) => desk
                .tree(run, &key)?
                .is_some_and(|record| record.stage == Stage::Present),
            None => false,
        };
        if !live {
            give_back(desk, port)?;
        }
    }
    Ok(())
}

fn give_back(desk: &Desk, port: u16) -> Result<(), Error> {
    let path: PathBuf = desk.ports().join(port.to_string());
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("give back the port of", &path, error)),
        _ => Ok(()),
    }
}

/// Every leased port, in order; without an owner when the lease cannot be read.
fn leases(desk: &Desk) -> Result<Vec<(u16, Option<Lease>)>, Error> {
    let directory = desk.ports();
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(Error::io("list", &directory, source)),
    };
    let mut leases = Vec::new();
    for entry in entries.flatten() {
        let Some(port) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let lease = fs::read(entry.path())
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        leases.push((port, lease));
    }
    leases.sort_by_key(|(port, _)| *port);
    Ok(leases)
}

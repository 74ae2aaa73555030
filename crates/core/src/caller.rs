//! Who asks: a person, or an instance known by its token.
//!
//! Every face (command line, MCP, HTTP) resolves the token it was given here before it builds a command; nothing a
//! caller says about itself counts. The token of an instance is made from a secret of the state directory that the
//! engine keeps (`engine::token`), so no store and no log holds one.

use crate::ids::InstanceId;
use crate::message::Party;

/// The variable in which an instance's processes find their token.
pub const TOKEN_VARIABLE: &str = "WHEELHOUSE_TOKEN";
/// The variable in which an instance's processes find who they are.
pub const INSTANCE_VARIABLE: &str = "WHEELHOUSE_INSTANCE";
/// The name under which an instance finds Wheelhouse among its MCP servers. Nothing else may be called so there.
pub const MCP_NAME: &str = "wheelhouse";
/// How every token of an instance begins, so that people and secret scanners know one.
pub const TOKEN_PREFIX: &str = "whi_";

/// The token is not one that was given to an instance of this state directory.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the token was not given to an instance here")]
pub struct NotAToken;

/// A token taken apart: whose it claims to be, and the proof.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Claim<'t> {
    /// Whose it claims to be.
    pub instance: InstanceId,
    /// What only the holder of the secret can have made.
    pub proof: &'t str,
}

/// Takes a token apart. Whether the proof holds is for the keeper of the secret to say.
pub fn claim(token: &str) -> Result<Claim<'_>, NotAToken> {
    let rest = token.strip_prefix(TOKEN_PREFIX).ok_or(NotAToken)?;
    let (number, proof) = rest.split_once('_').ok_or(NotAToken)?;
    let instance = number.parse().map(InstanceId).map_err(|_| NotAToken)?;
    Ok(Claim { instance, proof })
}

/// Writes a token.
pub fn token(instance: InstanceId, proof: &str) -> String {
    format!("{TOKEN_PREFIX}{}_{proof}", instance.0)
}

/// Who asks. A caller without a token is a person: whoever can open the store is its owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller(pub Party);

impl Caller {
    /// Whether it may answer approvals and questions, change the policy and touch runs: what is a person's alone.
    pub fn is_person(self) -> bool {
        self.0 == Party::Person
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_whose_it_claims_to_be() {
        let text = token(InstanceId(12), "abc");
        assert_eq!(text, "whi_12_abc");
        let claim_of = claim(&text).unwrap_or_else(|_| unreachable!("it was made by `token`"));
        assert_eq!((claim_of.instance, claim_of.proof), (InstanceId(12), "abc"));
        for bad in ["", "whi_", "whi_x_y", "whi_12", "12_abc", "WHI_12_abc"] {
            assert!(claim(bad).is_err(), "{bad}");
        }
    }
}

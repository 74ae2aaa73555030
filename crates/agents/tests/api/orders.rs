//! What the engine can order while an answer comes.

use wheelhouse_core::agent::Order;
use wheelhouse_core::outcome::Outcome;
use wheelhouse_testkit::model_api::Finished;

use crate::support::{APIS, PATIENCE, begin, rig};

/// The server sees the connection closed: nobody pays for an answer that nobody wants.
#[tokio::test]
async fn an_order_to_end_closes_the_connection() {
    for (api, order, outcome) in [
        ("anthropic", Order::Stop, Outcome::Killed),
        ("openai", Order::Kill, Outcome::Killed),
        ("openai-chat", Order::Interrupt, Outcome::Cancelled),
        ("gemini", Order::Stop, Outcome::Killed),
    ] {
        let rig = rig();
        let trying = begin(rig.config(api), rig.assignment("[[say:one two three]][[hold:gate]]"));
        let orders = trying.orders.clone();
        let tried = trying
            .beside(async {
                rig.fake.until(PATIENCE, |turns| turns.len() == 1).await.unwrap();
                orders.send(Order::Steer("faster".to_owned())).unwrap();
                orders.send(order).unwrap();
            })
            .await;
        assert_eq!(tried.ended.outcome, outcome, "{api}: {}", tried.ended.detail);
        assert!(
            tried
                .notices()
                .iter()
                .any(|words| words.contains("no words in the middle")),
            "{api}"
        );
        let gone = |turns: &[wheelhouse_testkit::model_api::Attempt]| turns[0].finished == Some(Finished::ClientGone);
        rig.fake.until(PATIENCE, gone).await.unwrap();
    }
}

#[tokio::test]
async fn a_stop_before_any_answer_ends_the_wait() {
    for api in APIS {
        let rig = rig();
        let trying = begin(rig.config(api), rig.assignment("[[fault:hang]]Hello"));
        let orders = trying.orders.clone();
        let tried = trying
            .beside(async {
                rig.fake.until(PATIENCE, |turns| turns.len() == 1).await.unwrap();
                orders.send(Order::Stop).unwrap();
            })
            .await;
        assert_eq!(tried.ended.outcome, Outcome::Killed, "{api}: {}", tried.ended.detail);
    }
}

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _};
use serde_json::{Value, json};
use uuid::Uuid;

const VISITORS: usize = 40;
const USERS: f64 = 400.0;

const TEAS: [(&str, f64); 8] = [
    ("assam", 8.4),
    ("sencha", 11.2),
    ("earl-grey", 7.9),
    ("pu-erh", 14.5),
    ("rooibos", 6.8),
    ("oolong", 12.6),
    ("darjeeling", 9.9),
    ("matcha", 24.0),
];
const WORDS: [&str; 5] = ["green", "black tea", "gift", "organic", "caffeine free"];
const DEVICES: [&str; 3] = ["phone", "laptop", "tablet"];

/// Made-up visitors, of whom each does one thing after the other, as people do.
#[derive(Debug)]
pub(super) struct Shop {
    random: StdRng,
    visitors: Vec<Visitor>,
}

#[derive(Debug)]
struct Visitor {
    user: String,
    session: String,
    device: &'static str,
    place: Place,
    basket: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Door,
    Shelf,
    Tea(usize),
    Till,
    Gone,
}

impl Shop {
    pub(super) fn new(mut random: StdRng) -> Self {
        let visitors = (0..VISITORS).map(|_| Visitor::enter(&mut random)).collect();
        Self { random, visitors }
    }

    /// What happens next, as ingest takes it.
    pub(super) fn event(&mut self) -> Value {
        let at = self.random.random_range(0..VISITORS);
        let visitor = &mut self.visitors[at];
        if visitor.place == Place::Gone {
            *visitor = Visitor::enter(&mut self.random);
        }
        let (event_type, payload) = visitor.act(&mut self.random);
        json!({
            "eventType": event_type,
            "eventId": Uuid::now_v7(),
            "userId": visitor.user,
            "sessionId": visitor.session,
            "metadata": { "device": visitor.device, "source": "make demo" },
            "payload": payload,
        })
    }
}

impl Visitor {
    /// Some come much more often than others.
    fn enter(random: &mut StdRng) -> Self {
        let often: f64 = random.random::<f64>().powi(2);
        Self {
            user: format!("user-{:03.0}", (often * USERS).floor()),
            session: format!("s-{:08x}", random.next_u32()),
            device: DEVICES[random.random_range(0..DEVICES.len())],
            place: Place::Door,
            basket: Vec::new(),
        }
    }

    fn act(&mut self, random: &mut StdRng) -> (&'static str, Value) {
        let chance: f64 = random.random();
        match self.place {
            Place::Door => {
                self.place = Place::Shelf;
                if chance < 0.06 {
                    return ("signup", json!({ "plan": "newsletter" }));
                }
                ("page_view", json!({ "path": "/" }))
            }
            Place::Shelf => self.look_around(chance, random),
            Place::Tea(tea) => self.consider(tea, chance),
            Place::Till if chance < 0.12 => {
                let total = self.total();
                (
                    "payment_failed",
                    json!({ "total": total, "code": "card_declined" }),
                )
            }
            Place::Till | Place::Gone => {
                self.place = Place::Gone;
                (
                    "order_paid",
                    json!({ "total": self.total(), "currency": "EUR" }),
                )
            }
        }
    }

    fn look_around(&mut self, chance: f64, random: &mut StdRng) -> (&'static str, Value) {
        if chance < 0.2 {
            let word = WORDS[random.random_range(0..WORDS.len())];
            let hits = random.random_range(0..30);
            return ("search", json!({ "query": word, "hits": hits }));
        }
        if chance < 0.75 {
            let tea = random.random_range(0..TEAS.len());
            self.place = Place::Tea(tea);
            let (name, price) = TEAS[tea];
            return ("product_view", json!({ "tea": name, "price": price }));
        }
        if chance > 0.9 {
            self.place = Place::Gone;
        }
        ("page_view", json!({ "path": "/teas" }))
    }

    fn consider(&mut self, tea: usize, chance: f64) -> (&'static str, Value) {
        self.place = Place::Shelf;
        if chance < 0.4 {
            self.basket.push(tea);
            let (name, price) = TEAS[tea];
            return ("add_to_cart", json!({ "tea": name, "price": price }));
        }
        if chance < 0.55 && !self.basket.is_empty() {
            self.place = Place::Till;
            let teas = self.basket.len();
            return ("checkout", json!({ "teas": teas, "total": self.total() }));
        }
        ("click", json!({ "element": "back" }))
    }

    /// In EUR, to the cent.
    fn total(&self) -> f64 {
        let sum: f64 = self.basket.iter().map(|tea| TEAS[*tea].1).sum();
        (sum * 100.0).round() / 100.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap, HashSet};

    use rand::SeedableRng as _;

    use super::*;

    fn events(count: usize) -> Vec<Value> {
        let mut shop = Shop::new(StdRng::seed_from_u64(7));
        (0..count).map(|_| shop.event()).collect()
    }

    #[test]
    fn there_are_several_types_and_users_and_every_event_has_its_own_id() {
        let events = events(5_000);
        let distinct = |name: &str| {
            let texts = events.iter().map(|event| event[name].as_str().unwrap());
            texts.collect::<BTreeSet<_>>()
        };
        assert_eq!(distinct("eventId").len(), events.len());
        assert!(distinct("userId").len() > 100);
        assert!(distinct("sessionId").len() > 200);
        let types: Vec<_> = distinct("eventType").into_iter().collect();
        assert_eq!(
            types,
            [
                "add_to_cart",
                "checkout",
                "click",
                "order_paid",
                "page_view",
                "payment_failed",
                "product_view",
                "search",
                "signup"
            ]
        );
    }

    #[test]
    fn nobody_pays_before_the_till_or_does_anything_after() {
        let mut at_till = HashSet::new();
        let mut paid: HashMap<String, bool> = HashMap::new();
        for event in events(5_000) {
            let session = event["sessionId"].as_str().unwrap().to_owned();
            assert!(!paid.contains_key(&session), "{event}");
            match event["eventType"].as_str().unwrap() {
                "checkout" => drop(at_till.insert(session)),
                "order_paid" => {
                    assert!(at_till.contains(&session), "{event}");
                    paid.insert(session, true);
                }
                _ => {}
            }
        }
        assert!(!paid.is_empty());
    }
}

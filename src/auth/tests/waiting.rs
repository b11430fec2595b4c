//! Who waits for a verification, for how many others, and who makes room.

use super::*;

/// Verifies nothing by itself: what is next is done by [`Verifier::serve`].
fn idle_verifier(queue: usize) -> Verifier {
    Verifier::new(0, queue).expect("no threads are made")
}

/// What one client asks about a user.
fn ask(verifier: &Verifier, client: &str, user: &str, password: &str) -> Begun {
    let client = client.parse().expect("an address");
    let password = Password::new(password.as_bytes());
    let asked = (user, &hash(), &password);
    verifier.begin(client, asked, Duration::from_secs(60), Instant::now())
}

/// What has come of an ask by now.
fn answer(begun: &Begun) -> Option<Verdict> {
    match begun {
        Begun::Done(verdict) => Some(*verdict),
        Begun::Flying(flight) => *flight.borrow(),
    }
}

#[test]
fn a_hundred_guesses_of_one_client_delay_another_by_one() {
    for (of, guesser) in [
        ("another client", "192.0.2.1"),
        ("another network", "2001:db8::1"),
        ("the same client, about another user", "192.0.2.7"),
    ] {
        let verifier = idle_verifier(256);
        let guess = |number: usize| ask(&verifier, guesser, "ann", &format!("guess {number}"));
        let guesses: Vec<Begun> = (0..100).map(guess).collect();
        let right = ask(&verifier, "192.0.2.7", "bob", PASSWORD);
        verifier.serve();
        assert_eq!(answer(&right), None, "{of}: the first guess was first");
        verifier.serve();
        assert_eq!(answer(&right), Some(Verdict::Right), "{of}");
        let answered = guesses.iter().filter(|guess| answer(guess).is_some());
        assert_eq!(answered.count(), 1, "{of}");
    }
}

#[test]
fn the_addresses_of_a_network_have_one_turn_together() {
    let verifier = idle_verifier(256);
    let guess = |number: usize| {
        let guesser = format!("2001:db8::{number:x}");
        ask(&verifier, &guesser, "ann", &format!("guess {number}"))
    };
    let _guesses: Vec<Begun> = (0..100).map(guess).collect();
    let right = ask(&verifier, "2001:db8:0:1::1", "bob", PASSWORD);
    verifier.serve();
    verifier.serve();
    assert_eq!(answer(&right), Some(Verdict::Right));
}

#[test]
fn what_no_longer_fits_the_queue_is_busy_and_joins_no_flight() {
    let verifier = idle_verifier(1);
    let begin = |password| ask(&verifier, "192.0.2.1", "ann", password);
    let _first = begin("one");
    assert!(
        matches!(begin("one"), Begun::Flying(_)),
        "the same needs no room"
    );
    for _ in 0..2 {
        assert_eq!(answer(&begin("two")), Some(Verdict::Busy));
    }
}

#[test]
fn half_of_the_queue_is_enough_for_one_client_and_who_has_more_makes_room() {
    let verifier = idle_verifier(4);
    let mut begun = Vec::new();
    let rows = [
        ("2001:db8::1", "one", None),
        ("2001:db8::1", "two", None),
        ("2001:db8::1", "three", Some(Verdict::Busy)),
        // The same client, who has the whole network.
        ("2001:db8::2", "three", Some(Verdict::Busy)),
        // What is under way needs no room.
        ("2001:db8::2", "two", None),
        ("192.0.2.1", "three", None),
        ("192.0.2.2", "four", None),
        // All of it is taken, and one client has two.
        ("192.0.2.3", "five", None),
        // Each has one.
        ("192.0.2.4", "six", Some(Verdict::Busy)),
    ];
    for (client, password, expected) in rows {
        let one = ask(&verifier, client, "ann", password);
        assert_eq!(answer(&one), expected, "{client} {password}");
        begun.push((password, one));
    }
    let displaced =
        |(password, one): &&(&str, Begun)| *password == "two" && answer(one) == Some(Verdict::Busy);
    assert_eq!(
        begun.iter().filter(displaced).count(),
        2,
        "all who waited for it are told"
    );
    assert!(matches!(begun.first(), Some((_, one)) if answer(one).is_none()));
}

#[test]
fn who_has_gone_has_no_place_no_turn_and_no_verification() {
    let verifier = idle_verifier(4);
    drop(ask(&verifier, "192.0.2.1", "ann", "gone"));
    drop(ask(&verifier, "192.0.2.1", "ann", "gone, too"));
    let stayed = ask(&verifier, "192.0.2.1", "ann", "three");
    assert_eq!(answer(&stayed), None, "their places are free");
    let right = ask(&verifier, "192.0.2.2", "ann", PASSWORD);
    verifier.serve();
    assert_eq!(answer(&stayed), Some(Verdict::Wrong));
    verifier.serve();
    assert_eq!(answer(&right), Some(Verdict::Right));
    assert_eq!(verifier.verifications(), 2);
    // Nothing is left of them: who asks the same is asked about anew.
    let again = ask(&verifier, "192.0.2.1", "ann", "gone");
    verifier.serve();
    assert_eq!(answer(&again), Some(Verdict::Wrong));
}

#[tokio::test]
async fn whoever_has_an_answer_can_ask_again() {
    let verifier = Verifier::new(1, 2).expect("threads can be made");
    let (hash, minute) = (hash(), Duration::from_secs(60));
    for guess in ["one", "two", "three"] {
        let guess = Password::new(guess.as_bytes());
        let verdict = verifier.verify(CLIENT, "ann", &hash, &guess, minute).await;
        assert_eq!(verdict, Verdict::Wrong);
    }
}

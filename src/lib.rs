//! Egret: a forward proxy and secure egress gateway.
//!
//! A client names a destination, in HTTP, with CONNECT or over SOCKS; policy decides by name before anything is looked up, and by
//! address before anything is dialled; what is allowed is carried, what is not is explained, and both are recorded. Turned round,
//! the same parts are a reverse proxy, and a load balancer for connections and datagrams. Not an
//! interface for other programs: the library is there so that the tests, benches and fuzz targets reach the parts.
//! Start here, then read [`listener`], [`mode`], [`gate`], [`relay`] and [`pool`], in this order: it is the way of a request.
//!
//! # The map
//!
//! One process has one worker thread for each core, each with a runtime of its own, its own listening sockets (`SO_REUSEPORT`)
//! and its own pool of connections. Workers share a snapshot of what was configured, swapped whole by a reload, and nothing else
//! that a request would wait for; but what is counted or stored for all stands in atomics ([`upstream`]) and shards ([`cache`]), and the
//! places of a listener's flows of datagrams behind one short lock ([`listener`]).
//! A worker that the kernel gives clearly more connections than another one passes new ones on, before a byte is read of them.
//! Leaves for intercepted tunnels are signed on a thread of the mint's, passwords are hashed on threads of the verifier's, where clients
//! take turns, records are written by one of the access log's, and upstreams are probed and looked up on one of their own, for whose
//! first look only those wait who are for an upstream without an endpoint. The disk tier of the cache has one thread that writes, some
//! that read, and one that keeps the house; one more waits where another process has the directory still.
//! The main thread does all other slow work, and answers the admin socket. Configurations and lists it has read by a thread that
//! comes after those that serve where there is no core to spare (on Linux), and waits for it.
//!
//! ```text
//! client -> listener -> mode -> relay -> pool -> origin
//!                               | | |
//!         route, upstream ------+ | +------ gate -> policy, auth, resolve
//!                               cache
//! ```
//!
//! | mode | its clients | who says where it goes |
//! | --- | --- | --- |
//! | `forward` | name a destination: HTTP requests, CONNECT, SOCKS | the client |
//! | `reverse` | take it for the origin: HTTP | a route, then the balancer of its upstream |
//! | `balanced` | speak whatever they like: connections, datagrams | the listener, by server name and ALPN where it looks; then the balancer |
//!
//! Calls go down, values come back. A request becomes an [`Intent`](gate::Intent), in one vocabulary for all protocols. The first
//! moment ([`gate::Gate::admit`]) turns it into a [`Grant`](policy::Grant): allowed by name. The second ([`gate::Gate::vet`])
//! resolves the name and turns the grant into a [`Permit`](policy::Permit), which holds the addresses that were judged.
//! The pool dials a permit and nothing else, and only [`policy`] makes one: what was judged is what is dialled.
//!
//! A tunnel has a third moment. What its client says first is looked at by [`tls`], without decryption, and held against the
//! permit ([`gate::Gate::judge_hello`]). Then it is relayed as it is, or intercepted, where the permit says so:
//!
//! ```text
//! relay/opening -> look -> gate -> relay/intercept: origin's handshake (pool, tls) -> leaf (tls/mint) -> client's handshake
//!                                     -> listener's codecs -> each request: relay/exchange, as any other
//! ```
//!
//! The origin's handshake comes first, because its certificate decides what the client is shown, and whether it is shown anything
//! but a refusal.
//!
//! A gateway's request asks its way first, and then is an exchange like any other, with an endpoint in the place of the origin:
//!
//! ```text
//! mode/gateway -> relay/gateway: who is the client (message/forwarded), which route (route), which upstream of it
//!   -> relay/exchange: gate.admit -> cache -> relay/way: a place in the upstream, an endpoint (attempts -> upstream), gate.vet_endpoint
//!     -> relay/tries: one try (relay/retry -> pool), and another one at another endpoint, where that is safe
//! ```
//!
//! A question (`egret explain`) takes the same search and the same judgement, and nothing is sent (`config/explain`).
//!
//! The endpoint's address is judged as any other; only the guard lets it be, as it stands in the configuration. How endpoints do,
//! [`upstream`] learns from each try, and from [`probe`].
//!
//! # Floors
//!
//! A file imports its own module, and modules on lower floors; `tests/it/floors.rs` holds everyone to it.
//!
//! | floor | modules |
//! | --: | --- |
//! | 0 | [`addr`] hosts and addresses; [`fault`] operators' mistakes; [`stream`] bytes both ways, and how a busy task lets others run; [`lifeline`] tasks and their end |
//! | 1 | [`settings`] from TOML to typed values |
//! | 2 | [`message`] HTTP as an intermediary; [`tls`] both ends of TLS, the look at a ClientHello, the authority that mints; [`socks`]; [`proxy_protocol`]; [`auth`] who is it; [`resolve`] names; [`report`] records; [`filter`] changes to messages |
//! | 3 | [`cache`] what is stored of responses, and when it is used again |
//! | 4 | [`policy`] rules over facts, pure; with its conditions and lists; [`upstream`] groups of endpoints of one service: which is next, which are fit |
//! | 5 | [`listener`] the client's side; [`gate`] where policy is enforced; [`pool`] the origin's side; [`route`] which route a gateway's request takes; [`question`] a request that nobody has made, for `egret explain` |
//! | 6 | [`relay`] one exchange or one tunnel, from end to end; [`probe`] what happens to upstreams beside requests: health, names, files |
//! | 7 | [`mode`] what a client speaks, turned into an intent |
//! | 8 | [`config`] from files to checked values, and what they make of a question |
//! | 9 | [`engine`] workers, reload, drain, admin socket |
//! | 10 | [`cli`], and `main` |
//!
//! # Words
//!
//! | word | what it means here |
//! | --- | --- |
//! | proxy, gateway, tunnel | chosen by the client; acts as the origin for it; relays without looking (RFC 9110 §3.7) |
//! | origin | the server that can give the authoritative answer (RFC 9110 §3.6) |
//! | client side, origin side | the two sides of the proxy; never "upstream" or "downstream", which the RFCs use for directions of messages |
//! | upstream, endpoint | a named group of endpoints of one service; one network address of it. Never a direction |
//! | probe, outlier | a question to an endpoint, beside requests, whether it is well; an endpoint that fails with requests, and is ejected for a while |
//! | authority | host and port that a request is for (RFC 3986 §3.2) |
//! | target | what stands in the request line: origin-, absolute-, authority- or asterisk-form (RFC 9112 §3.2) |
//! | facts | what is known of client, request, destination and time when policy decides |
//! | rule, condition, action | a rule does its action where all its conditions hold (RFC 3198) |
//! | verdict | allow or deny, with the rule and the reason |
//! | obligation | what must be done if it is allowed: a rate, a bandwidth, interception |
//! | route | which requests of a gateway's go where, and on what terms |
//! | treatment | of a route: what is done with its requests on the way |
//! | terms, served | how the endpoints of an upstream are spoken to; the upstream with them |
//! | intake | of a listener: what it takes in, and how connections begin there |
//! | balancer | which of the usable endpoints is next |
//! | try, retry | a request sent to one endpoint; each one after the first, at another endpoint |
//! | attempts, visit | from one endpoint to the next, for a request, a connection or a flow; the same once the upstream has room, where bytes go there as they are |
//! | circle | a way from an endpoint, over listeners of this process, back to the upstream that it is of |
//! | rest | an endpoint has asked to be left alone (`Retry-After`), and others are asked meanwhile |
//! | grant, permit | allowed by name; allowed to dial exactly these addresses |
//! | guard | what refuses an address that is not public, unless a rule names it by address |
//! | fault, denial, failure | the operator's mistake; policy said no; the network did not do it |
//! | exchange, tunnel, flow | one request with its response; bytes both ways; either of them, or one client's datagrams, while it lives |
//! | seat | a flow's place among those that a listener of datagrams may have; given up for another flow where there are no more |
//! | stranger, known | a client of datagrams that may be forged; one that has sent something after an answer |
//! | turn | whose password is verified next: one of each client, and of each of a client's users, after the other |
//! | renamed | a listener that a reload has given another name: the one with its mode and all its addresses has its connections |
//! | shared cache | one whose responses are for more than one client (RFC 9111 §1) |
//! | stored response, fresh, stale | kept to be used again; as old as it may be, or older (RFC 9111 §4.2) |
//! | key, variant | the URI and what a rule adds to it; what of one key was selected by the fields that `Vary` names |
//! | realm (of keys) | whose word a URI is taken for: that of origins on the network, or that of a gateway's upstreams |
//! | tier | one of the two stores of the cache: memory, and disk |
//! | leave, follow | a process gives the directory of the disk tier up; the one that was started to take its place takes hold of it |
//! | flight | one request at the origin that others wait for |
//! | splice, intercept | relay a tunnel's TLS untouched; end it here, and begin it anew towards the origin |
//! | authority (of interception), leaf | whose certificate clients trust; a certificate that it signed for one host |
//! | record | what is written of an exchange or tunnel when it has ended |
//! | door | of a worker: one socket's way to its mode |
//! | colleague, share | another worker of the process; one connection in its count, passed on or its own |
//!
//! # Where this differs from what one would expect
//!
//! * **[`settings`] has a floor of its own**, in place of serde's derive: serde stops at the first mistake, and an operator
//!   should see all of them at once, each with line, column and remedy. Each module reads its own settings with it.
//! * **HTTP/1 has a codec of its own** ([`message::http1`]), in place of hyper's. Looking for ambiguity ahead of another
//!   parser makes two parsers that can disagree, which is how requests are smuggled; hyper's drops a Content-Length beside a
//!   Transfer-Encoding before anyone sees it, answers `Expect` by itself, and can not send an interim response such as 103.
//! * **HTTP/2 is the `h2` crate itself** on both sides: hyper's server has no way to send interim responses, and its client drops
//!   those that come. No code here uses hyper. What h2 writes to a client it writes frame by frame; it is gathered on the way
//!   (`listener/http2/gather`).
//! * **`poll_*` code stands outside of [`stream`] too**: in [`message`], [`listener`], [`pool`], [`relay`] and [`cache`]. Bodies are
//!   polled by who reads them (`http_body::Body`), and a codec or a stored content is polled by its body: an `async fn` between the
//!   two would be a task or a box for each body. In [`lifeline`] and [`tls`] a future of others' is polled and looked at.
//! * **[`cache`] is of our own** from the law to the disk: a crate that decides about one stored response leaves ranges, several validators,
//!   collapsing and targeted fields to its user, and they are most of it. The stores that were weighed stand in [`cache::disk`].
//! * **[`cache`] is asked between the two moments of a decision**: what is allowed by name may be answered without an address, and without
//!   a look-up. Not where a rule asks about the address, nor for what came from one that is guarded.
//! * **[`pool`] uses [`upstream`]'s balancers**: the addresses of one name are equal endpoints, and choosing among them is the same
//!   job as choosing among the members of a group; so there is one set of algorithms for both.

pub mod addr;
pub mod auth;
pub mod cache;
pub mod cli;
pub mod config;
pub mod engine;
pub mod fault;
pub mod filter;
pub mod gate;
pub mod lifeline;
pub mod listener;
pub mod message;
pub mod mode;
pub mod policy;
pub mod pool;
pub mod probe;
pub mod proxy_protocol;
pub mod question;
pub mod relay;
pub mod report;
pub mod resolve;
pub mod route;
pub mod settings;
pub mod socks;
pub mod stream;
pub mod tls;
pub mod upstream;

//! Groups of endpoints of one service: which of them is next.
//! Opens no connection (pool).
//! Start at [`balance::Balancer`].

pub mod balance;

//! Tests of the contract and the kit against real servers and sockets.

mod stream;

//! The sample shop behind the demo and the tests: customers, products, orders, their items, payments and shipments, with
//! foreign keys that cascade, a view, a materialised view, a partitioned table, functions and a trigger; small enough to
//! read on one screen, and the same rows every time.
//!
//! Promises: [`SQL`] runs in an empty database of PostgreSQL 14 or newer as any role that may create there, and makes
//! [`CUSTOMERS`], [`PRODUCTS`] and [`ORDERS`] rows. Does not promise secrecy: every name in it is invented.
//! Held by: `shop_is_what_it_says` in `tests/it/postgres.rs`.

/// The shop, as one script.
pub const SQL: &str = include_str!("shop.sql");

/// Rows in `customers`.
pub const CUSTOMERS: u32 = 40;

/// Rows in `products`.
pub const PRODUCTS: u32 = 12;

/// Rows in `orders`.
pub const ORDERS: u32 = 120;

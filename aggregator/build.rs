//! Has the aggregator built again once `make dashboard` has built what it embeds.

fn main() {
    // A path that is not there counts as changed each time: its folder is watched until it is.
    let dist = std::path::Path::new("dashboard/dist");
    let watched = if dist.is_dir() {
        "dashboard/dist"
    } else {
        "dashboard"
    };
    println!("cargo::rerun-if-changed={watched}");
    println!("cargo::rerun-if-changed=build.rs");
}

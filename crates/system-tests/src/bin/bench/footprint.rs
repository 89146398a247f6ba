//! What the services weigh when idle, and how long it takes until all are healthy.

use std::time::Duration;

use system_tests::stack::{Stack, memory_kib};

use crate::table::Table;

const MEMORY_MIB: f64 = 40.0;
const START_SECONDS: f64 = 10.0;
/// After the start, until what starting needed is given back.
const SETTLE: Duration = Duration::from_secs(15);

pub(crate) async fn bench(table: &mut Table) {
    // An arena without hosted bots is an idle one, but the runner wants one that seldom thinks.
    let (stack, took) = Stack::start(&[("TICK_RATE", "10")]).await;
    let seconds = took.as_secs_f64();
    table.at_most("from built programs to all healthy, first start", seconds, "s", START_SECONDS);
    tokio::time::sleep(SETTLE).await;
    for service in ["api", "ticker", "oracle", "bot-runner"] {
        let pid = stack.pid(service).expect("the service runs");
        #[allow(clippy::as_conversions, clippy::cast_precision_loss)]
        let mib = memory_kib(pid, "VmRSS").unwrap() as f64 / 1024.0;
        table.at_most(&format!("resident memory of {service}"), mib, "MiB", MEMORY_MIB);
    }
    assert_eq!(stack.stop(), Some(0), "run_system.sh stops without a complaint");
}

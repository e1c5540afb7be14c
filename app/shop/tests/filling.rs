//! S3, S4.1: what is filled in, that it is always the same, and that several first starts fill it once.

mod support;

use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{Column as _, Row as _};
use support::{Instance, folder};
use tentpole_shop::ShopError;
use tentpole_shop::store::{FILE, Store};

async fn database(folder: &std::path::Path) -> SqlitePool {
    SqlitePool::connect_with(SqliteConnectOptions::new().filename(folder.join(FILE))).await.expect("it opens")
}

async fn count(database: &SqlitePool, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(database).await.expect(sql)
}

/// Every value of every table of the catalogue.
async fn dump(database: &SqlitePool) -> String {
    let mut dump = String::new();
    for sql in [
        "SELECT * FROM offer ORDER BY market, product",
        "SELECT * FROM slug ORDER BY market, slug",
        "SELECT rowid FROM words WHERE words MATCH 'dress OR kleid* OR robe OR noir' ORDER BY rowid",
    ] {
        for row in sqlx::query(sql).fetch_all(database).await.expect(sql) {
            for column in row.columns() {
                let at = column.ordinal();
                let number =
                    row.try_get_unchecked::<Option<i64>, _>(at).expect("a number or text read as one");
                let text = row.try_get_unchecked::<Option<String>, _>(at).expect("text");
                dump += &format!("{number:?} {text:?} ");
            }
            dump.push('\n');
        }
    }
    dump
}

#[tokio::test]
async fn s3_the_store_has_17_categories_and_more_than_1250_items() {
    let folder = folder();
    Store::open(folder.path()).await.expect("it opens").close().await;
    let database = database(folder.path()).await;
    assert_eq!(count(&database, "SELECT count(DISTINCT category) FROM offer WHERE market = 0").await, 17);
    assert_eq!(count(&database, "SELECT count(DISTINCT product) FROM offer").await, 1_360);
    assert!(count(&database, "SELECT count(*) FROM offer WHERE market = 0").await >= 1_250);
    for market in
        ["SELECT count(*) FROM offer WHERE market = 1", "SELECT count(*) FROM offer WHERE market = 2"]
    {
        assert!((1_150..1_360).contains(&count(&database, market).await), "{market}");
    }
    assert!(count(&database, "SELECT count(*) FROM offer WHERE was IS NOT NULL").await > 300);
    assert_eq!(count(&database, "SELECT count(*) FROM offer WHERE was <= price").await, 0);
}

#[tokio::test]
async fn two_shops_are_filled_with_the_same() {
    let (one, other) = (folder(), folder());
    for folder in [&one, &other] {
        Store::open(folder.path()).await.expect("it opens").close().await;
    }
    let first = dump(&database(one.path()).await).await;
    assert!(first.lines().count() > 7_000, "{} rows", first.lines().count());
    assert!(first == dump(&database(other.path()).await).await, "the two differ");
}

#[tokio::test(flavor = "current_thread")]
async fn instances_that_start_at_once_fill_the_folder_once() {
    let folder = folder();
    let instances: Vec<Instance> = (0..4).map(|_| Instance::start(folder.path())).collect();
    for instance in &instances {
        instance.visitor("shop.localhost").get("/").await.is(200).says("New in");
    }
    for instance in instances {
        instance.end().await;
    }
    assert_eq!(
        count(&database(folder.path()).await, "SELECT count(DISTINCT product) FROM offer").await,
        1_360
    );
}

#[tokio::test]
async fn a_second_start_changes_nothing() {
    let folder = folder();
    Store::open(folder.path()).await.expect("it opens").close().await;
    let before = dump(&database(folder.path()).await).await;
    Store::open(folder.path()).await.expect("it opens again").close().await;
    assert!(before == dump(&database(folder.path()).await).await);
}

#[tokio::test]
async fn a_folder_that_is_a_file_is_named_in_the_error() {
    let folder = folder();
    let path = folder.path().join("data");
    std::fs::write(&path, "").expect("a file can be written");
    let error = Store::open(&path).await.expect_err("a file is no folder");
    assert!(matches!(error, ShopError::Folder { .. }));
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}

#[tokio::test]
async fn another_versions_data_is_left_alone() {
    let folder = folder();
    Store::open(folder.path()).await.expect("it opens").close().await;
    sqlx::raw_sql("PRAGMA user_version = 99")
        .execute(&database(folder.path()).await)
        .await
        .expect("it is set");
    let error = Store::open(folder.path()).await.expect_err("it is another version");
    assert!(matches!(error, ShopError::OtherVersion { .. }), "{error}");
}

#[test]
fn a_port_in_use_is_said_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let error =
        tentpole_shop::Options::bind(taken.local_addr().expect("bound"), "data").expect_err("it is taken");
    assert!(error.to_string().contains("another program does"), "{error}");
}

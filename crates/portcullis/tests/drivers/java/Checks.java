// JDBC: prepared statements that become server-side ones, batches, fetch sizes, generated keys, COPY, metadata, cancel;
// refusals where a gateway is in front. Run from source: java -cp postgresql.jar Checks.java

import java.io.StringReader;
import java.io.StringWriter;
import java.sql.*;
import java.util.*;
import org.postgresql.PGConnection;

public class Checks {
  interface Check { void run(Connection c) throws Exception; }

  static final Map<String, String> PART = new HashMap<>();
  static final Properties LOGIN = new Properties();

  static Connection connect(String... more) throws SQLException {
    Properties p = new Properties();
    p.putAll(LOGIN);
    for (int i = 0; i + 1 < more.length; i += 2) p.setProperty(more[i], more[i + 1]);
    return DriverManager.getConnection("jdbc:postgresql://" + PART.get("host") + ":" + PART.get("port") + "/" + PART.get("dbname"), p);
  }

  static void equal(Object found, Object expected) {
    if (!Objects.equals(found, expected)) throw new AssertionError(found + " is not " + expected);
  }

  static void fails(Check work, Connection c, String state) throws Exception {
    try { work.run(c); } catch (SQLException e) {
      SQLException first = e;
      while (first.getNextException() != null && !state.equals(first.getSQLState())) first = first.getNextException();
      equal(first.getSQLState(), state);
      return;
    }
    throw new AssertionError("no " + state);
  }

  static Object one(Connection c, String sql) throws SQLException {
    try (Statement s = c.createStatement(); ResultSet r = s.executeQuery(sql)) { r.next(); return r.getObject(1); }
  }

  static void prepared(Connection c) throws SQLException {
    try (PreparedStatement s = c.prepareStatement("SELECT name, price FROM products WHERE id = ?")) {
      for (int round = 0; round < 8; round++) {            // prepareThreshold is 5: text first, then named and binary
        s.setInt(1, 3);
        try (ResultSet r = s.executeQuery()) { r.next(); equal(r.getString(1), "Notebook no. 3"); equal(r.getBigDecimal(2).toString(), "13.50"); }
      }
    }
  }

  static void batches(Connection c) throws SQLException {
    c.setAutoCommit(false);
    try (PreparedStatement s = c.prepareStatement("INSERT INTO order_log (order_id, event) VALUES (?, ?)")) {
      for (int n = 0; n < 300; n++) { s.setInt(1, n); s.setString(2, "jdbc"); s.addBatch(); }
      equal(s.executeBatch().length, 300);
    }
    equal(one(c, "SELECT count(*) FROM order_log WHERE event = 'jdbc'"), 300L);
    c.rollback();
  }

  static void fetchSize(Connection c) throws SQLException {
    c.setAutoCommit(false);
    try (Statement s = c.createStatement()) {
      s.setFetchSize(11);
      int count = 0;
      try (ResultSet r = s.executeQuery("SELECT id FROM orders ORDER BY id")) { while (r.next()) equal(r.getInt(1), ++count); }
      equal(count, 120);
    }
    c.commit();
  }

  static void generatedKeys(Connection c) throws SQLException {
    c.setAutoCommit(false);
    try (PreparedStatement s = c.prepareStatement("INSERT INTO orders (customer_id, placed_at) VALUES (1, now())", new String[] {"id"})) {
      s.executeUpdate();
      try (ResultSet r = s.getGeneratedKeys()) { r.next(); if (r.getInt(1) <= 120) throw new AssertionError("key"); }
    }
    c.rollback();
  }

  static void savepoints(Connection c) throws Exception {
    c.setAutoCommit(false);
    Savepoint before = c.setSavepoint("before");
    fails(x -> one(x, "SELECT 1/0"), c, "22012");
    c.rollback(before);
    equal(one(c, "SELECT 1"), 1);
    c.commit();
  }

  static void metadata(Connection c) throws SQLException {
    DatabaseMetaData m = c.getMetaData();
    Set<String> tables = new TreeSet<>();
    try (ResultSet r = m.getTables(null, "public", "%", new String[] {"TABLE"})) { while (r.next()) tables.add(r.getString("TABLE_NAME")); }
    if (!tables.containsAll(List.of("customers", "orders", "products"))) throw new AssertionError(tables);
    int columns = 0;
    try (ResultSet r = m.getColumns(null, "public", "customers", "%")) { while (r.next()) columns++; }
    equal(columns, 7);
    try (ResultSet r = m.getImportedKeys(null, "public", "orders")) { r.next(); equal(r.getString("PKTABLE_NAME"), "customers"); }
    try (ResultSet r = m.getPrimaryKeys(null, "public", "orders")) { r.next(); equal(r.getString("COLUMN_NAME"), "id"); }
    try (ResultSet r = m.getIndexInfo(null, "public", "orders", false, true)) { r.next(); }
  }

  static void copies(Connection c) throws Exception {
    var copy = c.unwrap(PGConnection.class).getCopyAPI();
    StringWriter out = new StringWriter();
    copy.copyOut("COPY (SELECT id FROM products ORDER BY id LIMIT 2) TO STDOUT", out);
    equal(out.toString(), "1\n2\n");
    c.setAutoCommit(false);
    equal(copy.copyIn("COPY order_log (order_id, event) FROM STDIN", new StringReader("1\tjdbc\n2\tjdbc\n")), 2L);
    c.rollback();
  }

  static void cancels(Connection c) throws Exception {
    try (Statement s = c.createStatement()) {
      Timer timer = new Timer(true);
      timer.schedule(new TimerTask() { public void run() { try { s.cancel(); } catch (SQLException e) { e.printStackTrace(); } } }, 300, 300);
      // One that comes before the statement runs cancels nothing.
      try {
        fails(x -> s.executeQuery("SELECT count(*) FROM generate_series(1, 10000000000)"), c, "57014");
      } finally {
        timer.cancel();
      }
    }
    equal(one(c, "SELECT 1"), 1);
  }

  static void simpleMode(Connection ignored) throws SQLException {
    try (Connection c = connect("preferQueryMode", "simple"); PreparedStatement s = c.prepareStatement("SELECT id FROM orders WHERE id = ?")) {
      s.setInt(1, 7);
      try (ResultSet r = s.executeQuery()) { r.next(); equal(r.getInt(1), 7); }
    }
  }

  static void refusal(Connection c) throws Exception {
    for (String sql : List.of("DROP TABLE orders", "DELETE FROM orders", "TRUNCATE orders", "SELECT 1; DROP TABLE orders")) {
      fails(x -> { try (Statement s = x.createStatement()) { s.execute(sql); } }, c, "42501");
      equal(one(c, "SELECT count(*) FROM orders"), 120L);
    }
    c.setAutoCommit(false);
    one(c, "SELECT 1");
    fails(x -> { try (Statement s = x.createStatement()) { s.execute("DROP TABLE orders"); } }, c, "42501");
    fails(x -> one(x, "SELECT 1"), c, "25P02");
    c.rollback();
    equal(one(c, "SELECT 1"), 1);
  }

  static void refusalInBatch(Connection c) throws Exception {
    try (Statement s = c.createStatement()) {
      s.addBatch("INSERT INTO order_log (order_id, event) VALUES (1, 'jdbc-batch')");
      s.addBatch("DROP TABLE orders");
      fails(x -> s.executeBatch(), c, "42501");
    }
    equal(one(c, "SELECT count(*) FROM orders"), 120L);
  }

  public static void main(String[] arguments) throws Exception {
    for (String part : System.getenv("PORTCULLIS_TEST_DSN").split(" ")) PART.put(part.substring(0, part.indexOf('=')), part.substring(part.indexOf('=') + 1));
    LOGIN.setProperty("user", PART.get("user"));
    LOGIN.setProperty("password", PART.get("password"));
    LOGIN.setProperty("sslmode", PART.getOrDefault("sslmode", "disable"));
    if (PART.containsKey("sslrootcert")) LOGIN.setProperty("sslrootcert", PART.get("sslrootcert"));
    Map<String, Check> checks = new LinkedHashMap<>();
    checks.put("prepared", Checks::prepared);
    checks.put("batches", Checks::batches);
    checks.put("fetch size", Checks::fetchSize);
    checks.put("generated keys", Checks::generatedKeys);
    checks.put("savepoints", Checks::savepoints);
    checks.put("metadata", Checks::metadata);
    checks.put("copy", Checks::copies);
    checks.put("cancel", Checks::cancels);
    checks.put("simple mode", Checks::simpleMode);
    if (System.getenv("PORTCULLIS_TEST_GATEWAY") != null) {
      checks.put("refusal", Checks::refusal);
      checks.put("refusal in a batch", Checks::refusalInBatch);
    }
    for (var check : checks.entrySet()) {
      try (Connection c = connect()) { check.getValue().run(c); }
      System.out.println("ok " + check.getKey());
    }
    System.out.println(checks.size() + " checks passed");
  }
}

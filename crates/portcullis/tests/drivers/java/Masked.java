// JDBC reads masked results: in text first, in binary once statements are the server's, by pages, and by COPY.
// Run from source: java -cp postgresql.jar Masked.java

import java.io.StringWriter;
import java.sql.*;
import java.util.*;
import org.postgresql.PGConnection;

public class Masked {
  static final String EVERY_TYPE = "SELECT id, name, ssn, email, tax, profile, dossier, tags, balance, born, photo, home, search FROM people WHERE id <= ? ORDER BY id";

  static void equal(Object found, Object expected) {
    if (!Objects.equals(found, expected)) throw new AssertionError(found + " is not " + expected);
  }

  static void masked(ResultSet r) throws SQLException {
    int count = 0;
    while (r.next()) {
      equal(r.getInt(1), ++count);
      equal(r.getString(2), "Person " + count);
      equal(r.getString("ssn"), "[redacted]");
      equal(r.getString("tax"), "[redacted]");
      equal(r.getString("email").length(), 20);
      equal(Arrays.asList((Object[]) r.getArray("tags").getArray()), Arrays.asList("[redacted]", null));
      equal(r.getBigDecimal("balance"), null);
      equal(r.getDate("born"), null);
      equal(r.getBytes("photo"), null);
      for (int column : new int[] {7, 12, 13}) equal(r.getObject(column), null);
      System.out.println(r.getObject("ssn") + " " + r.getString("profile"));
    }
    equal(count, 8);
  }

  public static void main(String[] arguments) throws Exception {
    Map<String, String> part = new HashMap<>();
    for (String p : System.getenv("PORTCULLIS_TEST_DSN").split(" ")) part.put(p.substring(0, p.indexOf('=')), p.substring(p.indexOf('=') + 1));
    Properties login = new Properties();
    login.setProperty("user", part.get("user"));
    login.setProperty("password", part.get("password"));
    login.setProperty("sslmode", part.getOrDefault("sslmode", "disable"));
    if (part.containsKey("sslrootcert")) login.setProperty("sslrootcert", part.get("sslrootcert"));
    try (Connection c = DriverManager.getConnection("jdbc:postgresql://" + part.get("host") + ":" + part.get("port") + "/" + part.get("dbname"), login)) {
      try (PreparedStatement s = c.prepareStatement(EVERY_TYPE)) {
        for (int round = 0; round < 8; round++) {          // prepareThreshold is 5: text first, then named and binary
          s.setInt(1, 8);
          try (ResultSet r = s.executeQuery()) { masked(r); }
        }
      }
      System.out.println("ok prepared");
      c.setAutoCommit(false);
      try (PreparedStatement s = c.prepareStatement(EVERY_TYPE)) {
        s.setFetchSize(3);
        s.setInt(1, 8);
        try (ResultSet r = s.executeQuery()) { masked(r); }
      }
      c.commit();
      System.out.println("ok pages");
      StringWriter out = new StringWriter();
      equal(c.unwrap(PGConnection.class).getCopyAPI().copyOut("COPY (SELECT id, ssn, born FROM people) TO STDOUT", out), 8L);
      equal(out.toString().startsWith("1\t[redacted]\t\\N\n"), true);
      System.out.println("ok copy");
    }
    System.out.println("3 checks passed");
  }
}

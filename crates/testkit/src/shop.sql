-- A small shop. Every row follows from generate_series, so that each run of the demo shows the same.
CREATE SCHEMA hr;

CREATE TABLE customers (
  id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name        text NOT NULL,
  email       text NOT NULL UNIQUE,
  phone       text,
  ssn         text,
  city        text NOT NULL,
  created_at  timestamptz NOT NULL
);

CREATE TABLE products (
  id     integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  sku    text NOT NULL UNIQUE,
  name   text NOT NULL,
  price  numeric(10, 2) NOT NULL CHECK (price >= 0),
  stock  integer NOT NULL DEFAULT 0
);

CREATE TABLE orders (
  id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer_id  integer NOT NULL REFERENCES customers ON DELETE CASCADE,
  status       text NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'paid', 'shipped', 'cancelled')),
  placed_at    timestamptz NOT NULL,
  note         text
);

CREATE TABLE order_items (
  order_id    integer NOT NULL REFERENCES orders ON DELETE CASCADE,
  product_id  integer NOT NULL REFERENCES products,
  quantity    integer NOT NULL CHECK (quantity > 0),
  unit_price  numeric(10, 2) NOT NULL,
  PRIMARY KEY (order_id, product_id)
);

CREATE TABLE payments (
  id           integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  order_id     integer NOT NULL REFERENCES orders ON DELETE CASCADE,
  amount       numeric(10, 2) NOT NULL,
  card_number  text NOT NULL,
  paid_at      timestamptz NOT NULL
);

CREATE TABLE shipments (
  order_id    integer NOT NULL,
  shipped_on  date NOT NULL,
  carrier     text NOT NULL
) PARTITION BY RANGE (shipped_on);
CREATE TABLE shipments_2025 PARTITION OF shipments FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE shipments_later PARTITION OF shipments DEFAULT;

CREATE TABLE order_log (
  at        timestamptz NOT NULL DEFAULT now(),
  order_id  integer NOT NULL,
  event     text NOT NULL
);

CREATE TABLE hr.employees (
  id      integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name    text NOT NULL,
  salary  numeric(10, 2) NOT NULL
);

INSERT INTO customers (name, email, phone, ssn, city, created_at)
SELECT given || ' ' || family, lower(given || '.' || family) || n || '@example.com',
       '+1 555 01' || lpad(n::text, 2, '0'), lpad((100 + n)::text, 3, '0') || '-55-' || lpad((1000 + 7 * n)::text, 4, '0'),
       (ARRAY['Aarhus', 'Bergen', 'Cork', 'Delft'])[1 + n % 4], timestamptz '2025-01-01 09:00+00' + n * interval '1 day'
  FROM generate_series(1, 40) AS n,
       LATERAL (SELECT (ARRAY['Ada', 'Ben', 'Chloe', 'Dan', 'Eva'])[1 + n % 5] AS given,
                       (ARRAY['Reed', 'Stone', 'Tate', 'Underhill', 'Vance', 'West', 'Young', 'Zane'])[1 + n % 8] AS family) AS person;

INSERT INTO products (sku, name, price, stock)
SELECT 'SKU-' || lpad(n::text, 3, '0'), (ARRAY['Kettle', 'Lamp', 'Mug', 'Notebook'])[1 + n % 4] || ' no. ' || n, 4.5 + 3 * n, 10 * n
  FROM generate_series(1, 12) AS n;

INSERT INTO orders (customer_id, status, placed_at, note)
SELECT 1 + n % 40, (ARRAY['new', 'paid', 'shipped', 'cancelled'])[1 + n % 4],
       timestamptz '2025-03-01 12:00+00' + n * interval '3 hours', CASE WHEN n % 10 = 0 THEN 'Leave at the door.' END
  FROM generate_series(1, 120) AS n;

INSERT INTO order_items (order_id, product_id, quantity, unit_price)
SELECT o.id, p.id, 1 + (o.id + p.id) % 3, p.price
  FROM orders AS o JOIN products AS p ON (o.id + p.id) % 5 = 0;

INSERT INTO payments (order_id, amount, card_number, paid_at)
SELECT o.id, sum(i.quantity * i.unit_price), '4111 1111 1111 ' || lpad(o.id::text, 4, '0'), o.placed_at + interval '1 hour'
  FROM orders AS o JOIN order_items AS i ON i.order_id = o.id
 WHERE o.status IN ('paid', 'shipped') GROUP BY o.id;

INSERT INTO shipments
SELECT id, (placed_at + interval '2 days')::date, 'Snail & Sons' FROM orders WHERE status = 'shipped';

INSERT INTO hr.employees (name, salary) VALUES ('Grace Hill', 7200), ('Hugo Iles', 5400), ('Ines Jarvis', 6100);

CREATE VIEW order_totals AS
SELECT o.id AS order_id, o.customer_id, o.status, sum(i.quantity * i.unit_price) AS total
  FROM orders AS o JOIN order_items AS i ON i.order_id = o.id GROUP BY o.id;

CREATE MATERIALIZED VIEW sales_by_city AS
SELECT c.city, count(*) AS orders, sum(t.total) AS revenue
  FROM customers AS c JOIN order_totals AS t ON t.customer_id = c.id GROUP BY c.city;

CREATE FUNCTION order_total(wanted integer) RETURNS numeric LANGUAGE sql STABLE
AS 'SELECT total FROM order_totals WHERE order_id = wanted';

CREATE FUNCTION purge_cancelled() RETURNS integer LANGUAGE plpgsql
AS $$ DECLARE gone integer; BEGIN DELETE FROM orders WHERE status = 'cancelled'; GET DIAGNOSTICS gone = ROW_COUNT; RETURN gone; END $$;

CREATE FUNCTION log_order() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN INSERT INTO order_log (order_id, event) VALUES (NEW.id, NEW.status); RETURN NEW; END $$;
CREATE TRIGGER order_logged AFTER INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION log_order();

CREATE INDEX orders_by_customer ON orders (customer_id);
COMMENT ON TABLE payments IS 'What was paid, and with which card.';
ANALYZE;

// pgx: its statement cache, batches (one pipeline), COPY in binary, notifications, cancellation by context; refusals where
// a gateway is in front.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

type check struct {
	name string
	run  func(context.Context, *pgx.Conn) error
}

var checks = []check{
	{"parameters", parameters},
	{"every query mode", queryModes},
	{"batch", batch},
	{"copy", copyBothWays},
	{"transaction", transaction},
	{"errors", sqlErrors},
	{"cancel", cancel},
	{"notification", notification},
}

var throughGateway = []check{
	{"refusal", refusal},
	{"refusal in a batch", refusalInBatch},
	{"refusal in a transaction", refusalInTransaction},
}

func equal[T comparable](found, expected T) error {
	if found != expected {
		return fmt.Errorf("%v is not %v", found, expected)
	}
	return nil
}

func code(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	return fmt.Sprint(err)
}

func parameters(ctx context.Context, conn *pgx.Conn) error {
	var name string
	var stock int
	if err := conn.QueryRow(ctx, "SELECT name, stock FROM products WHERE id = $1 AND sku = $2", 3, "SKU-003").Scan(&name, &stock); err != nil {
		return err
	}
	return errors.Join(equal(name, "Notebook no. 3"), equal(stock, 30))
}

func queryModes(ctx context.Context, conn *pgx.Conn) error {
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		for id := 1; id <= 3; id++ {
			var found int
			if err := conn.QueryRow(ctx, "SELECT id FROM orders WHERE id = $1", mode, id).Scan(&found); err != nil {
				return fmt.Errorf("%v: %w", mode, err)
			}
			if err := equal(found, id); err != nil {
				return err
			}
		}
	}
	return nil
}

func batch(ctx context.Context, conn *pgx.Conn) error {
	b := &pgx.Batch{}
	for n := 0; n < 40; n++ {
		b.Queue("SELECT $1::int", n)
	}
	results := conn.SendBatch(ctx, b)
	for n := 0; n < 40; n++ {
		var found int
		if err := results.QueryRow().Scan(&found); err != nil {
			return err
		}
		if err := equal(found, n); err != nil {
			return err
		}
	}
	return results.Close()
}

func copyBothWays(ctx context.Context, conn *pgx.Conn) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)
	rows := [][]any{}
	for n := 0; n < 200; n++ {
		rows = append(rows, []any{int32(n), "pgx"})
	}
	count, err := tx.CopyFrom(ctx, pgx.Identifier{"order_log"}, []string{"order_id", "event"}, pgx.CopyFromRows(rows))
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if _, err := conn.PgConn().CopyTo(ctx, &out, "COPY (SELECT id FROM products ORDER BY id LIMIT 2) TO STDOUT"); err != nil {
		return err
	}
	return errors.Join(equal(count, 200), equal(out.String(), "1\n2\n"))
}

func transaction(ctx context.Context, conn *pgx.Conn) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO order_log (order_id, event) VALUES (1, $1)", "pgx-undone"); err != nil {
			return err
		}
		return errors.New("undo")
	})
	var count int
	if e := conn.QueryRow(ctx, "SELECT count(*) FROM order_log WHERE event = 'pgx-undone'").Scan(&count); e != nil {
		return e
	}
	return errors.Join(equal(err.Error(), "undo"), equal(count, 0))
}

func sqlErrors(ctx context.Context, conn *pgx.Conn) error {
	var one int
	err := conn.QueryRow(ctx, "SELECT 1/$1::int", 0).Scan(&one)
	if e := conn.QueryRow(ctx, "SELECT 1").Scan(&one); e != nil {
		return e
	}
	return errors.Join(equal(code(err), "22012"), equal(one, 1))
}

func cancel(_ context.Context, conn *pgx.Conn) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	config := conn.Config().Copy()
	config.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: 20 * time.Second}
	}
	own, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer own.Close(context.Background())
	time.AfterFunc(300*time.Millisecond, stop)
	_, err = own.Exec(ctx, "SELECT count(*) FROM generate_series(1, 10000000000)")
	var one int
	if e := own.QueryRow(context.Background(), "SELECT 1").Scan(&one); e != nil {
		return fmt.Errorf("after the cancel: %w", e)
	}
	return equal(code(err), "57014")
}

func notification(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, "LISTEN low_stock"); err != nil {
		return err
	}
	other, err := pgx.ConnectConfig(ctx, conn.Config())
	if err != nil {
		return err
	}
	defer other.Close(ctx)
	if _, err := other.Exec(ctx, "NOTIFY low_stock, 'mugs'"); err != nil {
		return err
	}
	n, err := conn.WaitForNotification(ctx)
	if err != nil {
		return err
	}
	return equal(n.Payload, "mugs")
}

func refusal(ctx context.Context, conn *pgx.Conn) error {
	var failures []error
	for _, sql := range []string{"DROP TABLE orders", "DELETE FROM orders", "TRUNCATE orders"} {
		_, err := conn.Exec(ctx, sql)
		failures = append(failures, equal(code(err), "42501"))
		_, err = conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
		failures = append(failures, equal(code(err), "42501"))
	}
	var count int
	failures = append(failures, conn.QueryRow(ctx, "SELECT count(*) FROM orders").Scan(&count), equal(count, 120))
	return errors.Join(failures...)
}

func refusalInBatch(ctx context.Context, conn *pgx.Conn) error {
	b := &pgx.Batch{}
	b.Queue("INSERT INTO order_log (order_id, event) VALUES (1, 'pgx-batch')")
	b.Queue("DELETE FROM orders")
	b.Queue("SELECT 1")
	err := conn.SendBatch(ctx, b).Close()
	var count int
	if e := conn.QueryRow(ctx, "SELECT count(*) FROM order_log WHERE event = 'pgx-batch'").Scan(&count); e != nil {
		return e
	}
	return errors.Join(equal(code(err), "42501"), equal(count, 0))
}

func refusalInTransaction(ctx context.Context, conn *pgx.Conn) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "DROP TABLE orders")
	failures := []error{equal(code(err), "42501"), equal(conn.PgConn().TxStatus(), 'E')}
	_, err = tx.Exec(ctx, "SELECT 1")
	failures = append(failures, equal(code(err), "25P02"), tx.Rollback(ctx), equal(conn.PgConn().TxStatus(), 'I'))
	return errors.Join(failures...)
}

func main() {
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stop()
	all := checks
	if os.Getenv("PORTCULLIS_TEST_GATEWAY") != "" {
		all = append(all, throughGateway...)
	}
	if os.Getenv("PORTCULLIS_TEST_MASKED") != "" {
		all = maskedChecks
	}
	for _, c := range all {
		conn, err := pgx.Connect(ctx, os.Getenv("PORTCULLIS_TEST_DSN"))
		if err == nil {
			err = c.run(ctx, conn)
			conn.Close(ctx)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", c.name, err)
			os.Exit(1)
		}
		fmt.Println("ok", c.name)
	}
	fmt.Println(len(all), "checks passed")
}

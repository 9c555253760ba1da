// pgx reads masked results: every query mode, which are text and binary, and COPY.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

const everyType = "SELECT name, ssn, email, tax, profile, dossier, tags, balance, born, photo, search FROM people WHERE id <= $1 ORDER BY id"

var maskedChecks = []check{
	{"every type in every mode", everyTypeMasked},
	{"masked copies", copiesMasked},
}

func everyTypeMasked(ctx context.Context, conn *pgx.Conn) error {
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		rows, err := conn.Query(ctx, everyType, mode, 8)
		if err != nil {
			return err
		}
		count := 0
		for rows.Next() {
			var name, ssn, email, tax string
			var profile map[string]any
			var dossier, search *string
			var tags []*string
			var balance *float64
			var born *string
			var photo []byte
			if err := rows.Scan(&name, &ssn, &email, &tax, &profile, &dossier, &tags, &balance, &born, &photo, &search); err != nil {
				return fmt.Errorf("%v: %w", mode, err)
			}
			count++
			fmt.Println(name, ssn, email, tax, profile)
			unmasked := dossier != nil || search != nil || balance != nil || born != nil || photo != nil
			if err := errors.Join(equal(ssn, "[redacted]"), equal(tax, "[redacted]"), equal(len(email), 20), equal(unmasked, false), equal(len(tags), 2), equal(*tags[0], "[redacted]")); err != nil {
				return fmt.Errorf("%v: %w", mode, err)
			}
		}
		if err := errors.Join(rows.Err(), equal(count, 8)); err != nil {
			return fmt.Errorf("%v: %w", mode, err)
		}
	}
	return nil
}

func copiesMasked(ctx context.Context, conn *pgx.Conn) error {
	var out bytes.Buffer
	if _, err := conn.PgConn().CopyTo(ctx, &out, "COPY (SELECT id, ssn, born FROM people) TO STDOUT"); err != nil {
		return err
	}
	return equal(strings.Count(out.String(), "[redacted]\t\\N\n"), 8)
}

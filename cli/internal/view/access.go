package view

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/api"
)

// Tokens prints a table of tokens.
func Tokens(w io.Writer, s Style, tokens []api.Token, now time.Time) {
	rows := make([][]string, len(tokens))
	for i, t := range tokens {
		scopes := make([]string, len(t.Scopes))
		for j, scope := range t.Scopes {
			scopes[j] = string(scope)
		}
		sites, ends, used := "all", "never", "never"
		if len(t.Sites) > 0 {
			sites = strings.Join(t.Sites, ",")
		}
		if t.ExpiresAt != nil {
			ends = t.ExpiresAt.Format(time.DateOnly)
			if !now.Before(*t.ExpiresAt) {
				ends = "expired"
			}
		}
		if t.LastUsedAt != nil {
			used = Ago(*t.LastUsedAt, now)
		}
		rows[i] = []string{t.ID, t.Name, strings.Join(scopes, ","), sites, ends, used, t.CreatedBy}
	}
	table(w, s, []column{{"TOKEN", 0}, {"NAME", 12}, {"SCOPES", 0}, {"SITES", 12}, {"ENDS", 0}, {"USED", 0}, {"MADE BY", 8}}, rows)
}

// Audit prints entries of the audit log.
func Audit(w io.Writer, s Style, entries []api.AuditEntry) {
	rows := make([][]string, len(entries))
	for i, e := range entries {
		who := e.Actor
		if who == "" {
			who = "unknown"
		}
		var on []string
		for _, part := range []string{e.Site, e.Function, e.Deploy, e.Invocation, e.Details} {
			if part != "" {
				on = append(on, part)
			}
		}
		if e.Missed > 0 {
			on = append(on, fmt.Sprintf("(%d before it were left out)", e.Missed))
		}
		rows[i] = []string{e.At.Format(time.RFC3339), who, e.Action, fmt.Sprint(e.Status), e.From, strings.Join(on, " ")}
	}
	table(w, s, []column{{"WHEN", 0}, {"WHO", 10}, {"ACTION", 0}, {"STATUS", 0}, {"FROM", 0}, {"ON", 20}}, rows)
}

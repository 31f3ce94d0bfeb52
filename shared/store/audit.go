package store

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed lua/audit.lua
	auditBody   string
	auditScript = redis.NewScript(auditBody)
)

const (
	// maxAudit is how many entries are kept of what was done, and maxAuditRefused of
	// what was refused. They are apart, so that whoever is refused, as often as
	// they like, pushes nothing out that was done.
	maxAudit        = 50_000
	maxAuditRefused = 5_000
	// auditScan bounds how many entries a call looks at, and auditPage how many it
	// reads at once.
	auditScan, auditPage = 5_000, 500
	// maxAuditPage bounds what a call returns.
	maxAuditPage = 200
)

// AuditEntry is what somebody did on the control plane, or was refused.
type AuditEntry struct {
	ID string    `json:"-"`
	At time.Time `json:"-"` // by Redis's clock

	Actor string `json:"actor,omitempty"` // root, dev, or the name of a token; empty: nobody that is known
	Token string `json:"token,omitempty"` // the token's ID
	From  string `json:"from,omitempty"`  // address

	Action     string `json:"action"` // thing.verb
	Site       string `json:"site,omitempty"`
	Deploy     string `json:"deploy,omitempty"`
	Function   string `json:"function,omitempty"`
	Invocation string `json:"invocation,omitempty"`
	Details    string `json:"details,omitempty"` // in a few words; no values of variables

	Status int    `json:"status"`          // of the answer
	Trace  string `json:"trace,omitempty"` // ID
	Missed int    `json:"missed,omitempty"`
}

// Refused reports whether nothing was done, because it may not be or cannot be.
func (e AuditEntry) Refused() bool { return e.Status >= 400 && e.Status < 500 }

// AppendAudit adds an entry to the audit log, and removes those that are older
// than they are kept for.
func (s *Store) AppendAudit(ctx context.Context, e AuditEntry, keep time.Duration) error {
	const doing = "writing the audit log"
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	keys, most := []string{auditKey(), auditRefusedKey()}, maxAudit
	if e.Refused() {
		keys, most = []string{auditRefusedKey(), auditKey()}, maxAuditRefused
	}
	_, err = s.run(ctx, auditScript, doing, keys, newToken(), most, keep.Milliseconds(), data)
	return err
}

// AuditFilter says which entries are wanted. What is zero leaves nothing out.
type AuditFilter struct {
	Site, Actor string // Actor is a name, or the ID of a token
	From, To    time.Time
}

func (f AuditFilter) passes(e AuditEntry) bool {
	return (f.Site == "" || f.Site == e.Site) && (f.Actor == "" || f.Actor == e.Actor || f.Actor == e.Token)
}

// Audit reads the audit log, newest first. cursor is empty, or what an earlier
// call returned, for the entries before those; limit is 1 to 200. Where a filter
// lets little through a page may have fewer entries, and still a next one. A cursor
// that is none: fault.Invalid.
func (s *Store) Audit(ctx context.Context, f AuditFilter, cursor string, limit int) (list []AuditEntry, next string, err error) {
	const doing = "reading the audit log"
	end, start := "+", "-"
	if !f.To.IsZero() {
		end = "(" + strconv.FormatInt(f.To.UnixMilli(), 10) + "-0"
	}
	if cursor != "" {
		if !validCursor(cursor) {
			return nil, "", fault.New(fault.Invalid, "%s: %.40q is no cursor; take next_cursor of the page before", doing, cursor)
		}
		end = "(" + cursor
	}
	if !f.From.IsZero() {
		start = strconv.FormatInt(max(0, f.From.UnixMilli()), 10)
	}
	limit = min(max(limit, 1), maxAuditPage)
	for scanned := 0; scanned < auditScan; scanned += auditPage {
		entries, err := s.auditPage(ctx, end, start)
		if err != nil {
			return nil, "", err
		}
		for _, e := range entries {
			if f.passes(e) {
				list = append(list, e)
			}
			if len(list) == limit {
				return list, e.ID, nil
			}
		}
		if len(entries) < auditPage {
			return list, "", nil
		}
		next = entries[len(entries)-1].ID
		end = "(" + next
	}
	return list, next, nil
}

// auditPage reads the newest entries of both streams in a span as one.
func (s *Store) auditPage(ctx context.Context, end, start string) ([]AuditEntry, error) {
	const doing = "reading the audit log"
	var read []*redis.XMessageSliceCmd
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, key := range []string{auditKey(), auditRefusedKey()} {
			read = append(read, p.XRevRangeN(ctx, key, end, start, auditPage))
		}
		return nil
	})
	if err != nil {
		return nil, failed(ctx, err, doing)
	}
	var entries []AuditEntry
	for _, cmd := range read {
		for _, m := range cmd.Val() {
			var e AuditEntry
			text, _ := m.Values["entry"].(string)
			if err := json.Unmarshal([]byte(text), &e); err != nil {
				return nil, fmt.Errorf("%s: entry %s: %w", doing, m.ID, err)
			}
			ms, _, _ := strings.Cut(m.ID, "-")
			if e.At, err = parseMillis(ms); err != nil {
				return nil, fmt.Errorf("%s: entry %s: %w", doing, m.ID, err)
			}
			e.ID = m.ID
			entries = append(entries, e)
		}
	}
	slices.SortFunc(entries, func(a, b AuditEntry) int { return compareStreamIDs(b.ID, a.ID) })
	return entries[:min(len(entries), auditPage)], nil
}

// compareStreamIDs compares the IDs of entries of streams by their age.
func compareStreamIDs(a, b string) int {
	aMS, aSeq, _ := strings.Cut(a, "-")
	bMS, bSeq, _ := strings.Cut(b, "-")
	number := func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }
	return cmp.Or(number(aMS, bMS), number(aSeq, bSeq))
}

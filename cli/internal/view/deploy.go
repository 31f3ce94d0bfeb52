package view

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nightshift/nightshift/shared/api"
	"github.com/nightshift/nightshift/shared/deploy"
)

// titleWidth bounds the titles of deploys in a table.
const titleWidth = 60

// Deploys prints a table of deploys: how far each has come, what it is for,
// when it was made, whether it is published, and what was said about it.
func Deploys(w io.Writer, s Style, deploys []api.Deploy, now time.Time) {
	rows := make([][]string, len(deploys))
	for i, d := range deploys {
		purpose := cmp.Or(d.Context, "-")
		if d.Branch != "" {
			purpose += " " + d.Branch
		}
		title := d.Title
		if d.State == string(deploy.Failed) && d.ErrorMessage != "" {
			title = d.ErrorMessage
		}
		rows[i] = []string{d.ID, d.State, purpose, Ago(d.CreatedAt, now), marks(d), short(strings.Join(strings.Fields(title), " "), titleWidth)}
	}
	table(w, s, []column{{"DEPLOY", 0}, {"STATE", 0}, {"CONTEXT", 12}, {"CREATED", 0}, {"PUBLISHED", 9}, {"TITLE", 12}}, rows)
}

// marks says what the pointer of its site has to do with a deploy.
func marks(d api.Deploy) string {
	var out []string
	if d.Published {
		out = append(out, "published")
	}
	if d.Locked {
		out = append(out, "locked")
	}
	if d.Withheld != "" && !d.Published {
		out = append(out, "withheld: "+d.Withheld)
	}
	return cmp.Or(strings.Join(out, ", "), "-")
}

// Sites prints a table of sites.
func Sites(w io.Writer, s Style, sites []api.Site) {
	rows := make([][]string, len(sites))
	for i, site := range sites {
		lock := ""
		if site.Locked {
			lock = "locked"
		}
		rows[i] = []string{site.Name, site.URL, cmp.Or(site.DeployID, "nothing"), lock}
	}
	table(w, s, []column{{"SITE", 0}, {"URL", 0}, {"PUBLISHED", 0}, {"", 0}}, rows)
}

// Ago words how long ago something was: "5m ago".
func Ago(t, now time.Time) string {
	switch d := now.Sub(t); {
	case t.IsZero():
		return "-"
	case d < 5*time.Second: // or ahead of this clock
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", d/time.Hour)
	default:
		return fmt.Sprintf("%dd ago", d/(24*time.Hour))
	}
}

// Bytes words a number of bytes: "12 B", "3.4 MiB".
func Bytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1024, "KiB"
	for _, next := range []string{"MiB", "GiB"} {
		if value < 1024 {
			break
		}
		value, unit = value/1024, next
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

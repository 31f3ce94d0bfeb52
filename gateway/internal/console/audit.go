package console

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/nightshift/nightshift/shared/store"
)

// auditView is a page of the audit log.
type auditView struct {
	frame
	Form  auditForm
	List  []store.AuditEntry
	Pager pager
}

// auditForm is the filter as it was typed; times are in UTC.
type auditForm struct{ Who, OfSite, From, To string }

func (f auditForm) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"actor": f.Who, "site": f.OfSite, "from": f.From, "to": f.To} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

// audit shows what was done on the control plane, and by whom.
func (c *Console) audit(w http.ResponseWriter, r *http.Request) error {
	frame, _, err := c.frameOf(w, r, "audit", "Audit log")
	if err != nil {
		return err
	}
	q := r.URL.Query()
	text := func(name string) string { return strings.TrimSpace(q.Get(name)) }
	view := auditView{frame: frame, Form: auditForm{Who: text("actor"), OfSite: text("site"), From: text("from"), To: text("to")}}
	filter := store.AuditFilter{Site: view.Form.OfSite, Actor: view.Form.Who}
	if filter.From, err = readTime("from", view.Form.From); err != nil {
		return err
	}
	if filter.To, err = readTime("to", view.Form.To); err != nil {
		return err
	}
	var next string
	if view.List, next, err = c.AuditLog.Audit(r.Context(), filter, q.Get("cursor"), listed); err != nil {
		return err
	}
	view.Pager = newPager("/audit", view.Form.query(), q, next)
	return c.render(w, http.StatusOK, "audit", view)
}

package collect

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nightshift/nightshift/shared/artifact"
	"github.com/nightshift/nightshift/shared/deploy"
	"github.com/nightshift/nightshift/shared/store"
)

// blobs are those that may be garbage.
type blobs struct {
	unneeded map[string]int64 // their sizes, by name, until a deploy is seen that needs them
	doomed   []string         // names that an earlier round has noted and not deleted
}

// listBlobs lists what may be garbage by its age, and what an earlier round has
// taken for it.
func (c *Collector) listBlobs(ctx context.Context, now time.Time) (*blobs, error) {
	doomed, err := c.cfg.Store.AllDoomed(ctx)
	if err != nil {
		return nil, err
	}
	b := &blobs{unneeded: map[string]int64{}, doomed: doomed}
	for _, name := range doomed {
		b.unneeded[name] = 0 // it may be deleted already; then only the note is left
	}
	return b, c.cfg.Blobs.List(ctx, func(blob artifact.Blob) error {
		if _, doomed := b.unneeded[blob.Name()]; doomed || now.Sub(blob.ModTime) > grace {
			b.unneeded[blob.Name()] = blob.Size
		}
		return nil
	})
}

// need takes off what a deploy needs. What was given up needs nothing.
func (b *blobs) need(d store.Held) {
	if b == nil || d.State == deploy.Failed {
		return
	}
	for _, digest := range d.Code {
		delete(b.unneeded, artifact.Code.Name(digest))
	}
	for _, digest := range d.Files {
		delete(b.unneeded, artifact.Static.Name(digest))
	}
}

// delete deletes what no deploy needs.
func (c *Collector) delete(ctx context.Context, term int64, f findings, b *blobs, n *counts) error {
	if n.deploys == 0 && len(b.unneeded) > 0 {
		n.left = 0
		c.cfg.Logger.Warn("no deploy is known and blobs are stored; none is deleted, because this may be another installation's store, or a Redis that has lost its data", "blobs", len(b.unneeded))
		return nil
	}
	garbage := slices.Sorted(maps.Keys(b.unneeded))
	n.left = max(len(garbage)-maxDeleted, 0)
	garbage = garbage[:len(garbage)-n.left]
	if err := c.cfg.Store.Doom(ctx, garbage); err != nil {
		return err
	}
	// Deploys that were made since the first look, or are not in their final form:
	// whoever writes one from now on sees what is doomed.
	err := c.cfg.Store.EachDeploy(ctx, func(id string) bool { return f.final[id] }, func(d store.Held) error {
		b.need(d)
		return nil
	})
	if err != nil {
		return err
	}
	needed := func(name string) bool {
		_, unneeded := b.unneeded[name]
		return !unneeded
	}
	spared := slices.DeleteFunc(slices.Concat(garbage, b.doomed), func(name string) bool { return !needed(name) })
	if err := c.cfg.Store.Spare(ctx, spared); err != nil {
		return err
	}
	for some := range slices.Chunk(slices.DeleteFunc(garbage, needed), deletedAtOnce) {
		if err := c.deleteSome(ctx, term, some, b, n); err != nil {
			return err
		}
	}
	return nil
}

// deleteSome deletes blobs and notes that they are gone, in this order: who
// stores one of them afterwards must not find it deleted, or remembered.
func (c *Collector) deleteSome(ctx context.Context, term int64, names []string, b *blobs, n *counts) error {
	gone := map[artifact.Kind][]string{}
	for _, name := range names {
		kind, digest, ok := artifact.ParseName(name)
		if !ok {
			return fmt.Errorf("garbage collection: %q is not the name of a blob", name)
		}
		may, err := c.cfg.Store.MayDelete(ctx, term, name)
		if err != nil {
			return err
		}
		if !may {
			continue
		}
		if err := c.cfg.Blobs.Delete(ctx, digest, kind); err != nil {
			return err
		}
		gone[kind] = append(gone[kind], digest)
		n.blobs++
		n.bytes += b.unneeded[name]
	}
	if err := c.cfg.Store.ForgetBlobs(ctx, gone[artifact.Code], gone[artifact.Static]); err != nil {
		return err
	}
	return c.cfg.Store.Spare(ctx, names)
}

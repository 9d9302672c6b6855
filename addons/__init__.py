"""kprov's own add-ons: data only, a folder each. What the files mean is in docs/addons.md."""

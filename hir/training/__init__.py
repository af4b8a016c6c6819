"""One iteration after another: data, optimizer, folder."""

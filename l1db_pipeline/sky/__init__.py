"""Sky arithmetic on whole arrays: HTM pixels, regions, matching."""

//! What makes two requests ask for the same thing: query parameters, cookies, and what `Vary` means after it was
//! reduced. Pure functions over byte slices; stores nothing.

//! What a room says to visitors, in their language.

/// A language's sentences. `{n}` is a number.
#[derive(Debug)]
pub(crate) struct Words {
    /// Its code (BCP 47).
    pub(crate) code: &'static str,
    pub(crate) title: &'static str,
    pub(crate) waiting: &'static str,
    pub(crate) early: &'static str,
    pub(crate) closed: &'static str,
    pub(crate) over: &'static str,
    pub(crate) full: &'static str,
    /// Put before the number of the visitor's place.
    pub(crate) place: &'static str,
    pub(crate) next: &'static str,
    /// Before the number of others.
    pub(crate) waiting_count: &'static str,
    pub(crate) soon: &'static str,
    pub(crate) minutes: &'static str,
    pub(crate) hours: &'static str,
    pub(crate) days: &'static str,
    pub(crate) unknown: &'static str,
    pub(crate) keep: &'static str,
    /// The same before the doors open, while there are no places.
    pub(crate) keep_early: &'static str,
    /// To one whose browser keeps no ticket.
    pub(crate) no_cookies: &'static str,
    /// To one of whom that is not known, because nothing asks for him.
    pub(crate) cookies: &'static str,
    /// Between thousands.
    pub(crate) group: char,
}

/// All of them; the first is for those who speak none.
pub(crate) const LANGUAGES: [Words; 8] = [
    Words {
        code: "en",
        title: "You are in line",
        waiting: "Many people are here right now. You will come in by yourself when it is your turn.",
        early: "The doors are not open yet. When they open, all who are here by then are put in an order by lot.",
        closed: "The doors are closed for a moment. You keep your place.",
        over: "This is over. Thank you for your visit.",
        full: "Too many people are waiting. Please come back in a few minutes.",
        place: "Your place",
        next: "It is your turn in a moment",
        waiting_count: "Waiting now",
        soon: "less than a minute",
        minutes: "about {n} min",
        hours: "about {n} h",
        days: "about {n} days",
        unknown: "cannot be said yet",
        keep: "This page renews itself. If you leave, you keep your place for some minutes.",
        keep_early: "You may leave. Be back in this browser when the doors open.",
        no_cookies: "Your browser keeps no cookies for this site. Allow them to come in. You keep your place while this page is open.",
        cookies: "Your place is kept in a cookie. Please allow cookies for this site.",
        group: ',',
    },
    Words {
        code: "de",
        title: "Sie stehen in der Warteschlange",
        waiting: "Gerade sind viele Menschen hier. Sie kommen von selbst hinein, wenn Sie an der Reihe sind.",
        early: "Die Türen sind noch nicht offen. Wenn sie öffnen, entscheidet unter allen, die dann hier sind, das Los.",
        closed: "Die Türen sind für einen Moment geschlossen. Sie behalten Ihren Platz.",
        over: "Das ist vorbei. Danke für Ihren Besuch.",
        full: "Zu viele Menschen warten. Bitte kommen Sie in einigen Minuten wieder.",
        place: "Ihr Platz",
        next: "Sie sind gleich an der Reihe",
        waiting_count: "Es warten jetzt",
        soon: "weniger als eine Minute",
        minutes: "etwa {n} Min.",
        hours: "etwa {n} Std.",
        days: "etwa {n} Tage",
        unknown: "lässt sich noch nicht sagen",
        keep: "Diese Seite erneuert sich von selbst. Wenn Sie gehen, bleibt Ihr Platz einige Minuten lang Ihrer.",
        keep_early: "Sie können gehen. Seien Sie zur Öffnung in diesem Browser wieder da.",
        no_cookies: "Ihr Browser behält keine Cookies dieser Website. Erlauben Sie sie, um hineinzukommen. Solange diese Seite offen ist, behalten Sie Ihren Platz.",
        cookies: "Ihr Platz steht in einem Cookie. Bitte erlauben Sie Cookies für diese Website.",
        group: '.',
    },
    Words {
        code: "fr",
        title: "Vous êtes dans la file d’attente",
        waiting: "Il y a beaucoup de monde en ce moment. Vous entrerez automatiquement quand ce sera votre tour.",
        early: "Les portes ne sont pas encore ouvertes. À l’ouverture, l’ordre des personnes présentes sera tiré au sort.",
        closed: "Les portes sont fermées pour un instant. Vous gardez votre place.",
        over: "C’est terminé. Merci de votre visite.",
        full: "Trop de personnes attendent. Revenez dans quelques minutes.",
        place: "Votre place",
        next: "C’est bientôt votre tour",
        waiting_count: "En attente",
        soon: "moins d’une minute",
        minutes: "environ {n} min",
        hours: "environ {n} h",
        days: "environ {n} jours",
        unknown: "pas encore connu",
        keep: "Cette page se met à jour toute seule. Si vous partez, vous gardez votre place quelques minutes.",
        keep_early: "Vous pouvez partir. Revenez dans ce navigateur à l’ouverture des portes.",
        no_cookies: "Votre navigateur ne garde pas les cookies de ce site. Autorisez-les pour entrer. Vous gardez votre place tant que cette page est ouverte.",
        cookies: "Votre place est gardée dans un cookie. Autorisez les cookies pour ce site.",
        group: '\u{202f}',
    },
    Words {
        code: "es",
        title: "Está en la cola",
        waiting: "Hay mucha gente en este momento. Entrará automáticamente cuando sea su turno.",
        early: "Las puertas aún no están abiertas. Al abrirse, el orden de quienes estén aquí se decide por sorteo.",
        closed: "Las puertas están cerradas un momento. Conserva su lugar.",
        over: "Ha terminado. Gracias por su visita.",
        full: "Hay demasiada gente esperando. Vuelva en unos minutos.",
        place: "Su lugar",
        next: "Enseguida es su turno",
        waiting_count: "Esperando ahora",
        soon: "menos de un minuto",
        minutes: "unos {n} min",
        hours: "unas {n} h",
        days: "unos {n} días",
        unknown: "aún no se sabe",
        keep: "Esta página se actualiza sola. Si se va, conserva su lugar unos minutos.",
        keep_early: "Puede irse. Vuelva en este navegador cuando se abran las puertas.",
        no_cookies: "Su navegador no guarda cookies de este sitio. Permítalas para entrar. Conserva su lugar mientras esta página esté abierta.",
        cookies: "Su lugar se guarda en una cookie. Permita las cookies de este sitio.",
        group: '.',
    },
    Words {
        code: "it",
        title: "Sei in coda",
        waiting: "In questo momento ci sono molte persone. Entrerai da solo quando sarà il tuo turno.",
        early: "Le porte non sono ancora aperte. All’apertura l’ordine di chi è presente viene sorteggiato.",
        closed: "Le porte sono chiuse per un momento. Mantieni il tuo posto.",
        over: "È finito. Grazie della visita.",
        full: "Troppe persone in attesa. Torna tra qualche minuto.",
        place: "Il tuo posto",
        next: "Tra poco tocca a te",
        waiting_count: "In attesa ora",
        soon: "meno di un minuto",
        minutes: "circa {n} min",
        hours: "circa {n} h",
        days: "circa {n} giorni",
        unknown: "non si sa ancora",
        keep: "Questa pagina si aggiorna da sola. Se esci, mantieni il tuo posto per qualche minuto.",
        keep_early: "Puoi uscire. Torna in questo browser all’apertura delle porte.",
        no_cookies: "Il tuo browser non conserva i cookie di questo sito. Consentili per entrare. Mantieni il tuo posto finché questa pagina è aperta.",
        cookies: "Il tuo posto è salvato in un cookie. Consenti i cookie per questo sito.",
        group: '.',
    },
    Words {
        code: "nl",
        title: "U staat in de wachtrij",
        waiting: "Er zijn nu veel mensen. U komt vanzelf binnen als u aan de beurt bent.",
        early: "De deuren zijn nog niet open. Bij opening wordt de volgorde van wie er dan is door loting bepaald.",
        closed: "De deuren zijn even dicht. U houdt uw plaats.",
        over: "Het is voorbij. Bedankt voor uw bezoek.",
        full: "Er wachten te veel mensen. Kom over een paar minuten terug.",
        place: "Uw plaats",
        next: "U bent zo aan de beurt",
        waiting_count: "Nu wachtend",
        soon: "minder dan een minuut",
        minutes: "ongeveer {n} min",
        hours: "ongeveer {n} uur",
        days: "ongeveer {n} dagen",
        unknown: "nog niet te zeggen",
        keep: "Deze pagina ververst zichzelf. Als u weggaat, houdt u uw plaats enkele minuten.",
        keep_early: "U kunt weggaan. Kom bij de opening in deze browser terug.",
        no_cookies: "Uw browser bewaart geen cookies van deze site. Sta ze toe om binnen te komen. U houdt uw plaats zolang deze pagina open is.",
        cookies: "Uw plaats staat in een cookie. Sta cookies toe voor deze site.",
        group: '.',
    },
    Words {
        code: "pl",
        title: "Jesteś w kolejce",
        waiting: "Jest tu teraz wiele osób. Wejdziesz automatycznie, gdy nadejdzie Twoja kolej.",
        early: "Drzwi nie są jeszcze otwarte. Po otwarciu kolejność obecnych osób zostanie wylosowana.",
        closed: "Drzwi są na chwilę zamknięte. Zachowujesz swoje miejsce.",
        over: "To już koniec. Dziękujemy za wizytę.",
        full: "Zbyt wiele osób czeka. Wróć za kilka minut.",
        place: "Twoje miejsce",
        next: "Zaraz Twoja kolej",
        waiting_count: "Teraz czeka",
        soon: "mniej niż minuta",
        minutes: "około {n} min",
        hours: "około {n} godz.",
        days: "około {n} dni",
        unknown: "jeszcze nie wiadomo",
        keep: "Ta strona odświeża się sama. Jeśli wyjdziesz, zachowasz miejsce przez kilka minut.",
        keep_early: "Możesz wyjść. Wróć w tej przeglądarce, gdy drzwi się otworzą.",
        no_cookies: "Twoja przeglądarka nie zachowuje plików cookie tej strony. Zezwól na nie, aby wejść. Zachowujesz miejsce, dopóki ta strona jest otwarta.",
        cookies: "Twoje miejsce jest zapisane w pliku cookie. Zezwól na pliki cookie tej strony.",
        group: '\u{a0}',
    },
    Words {
        code: "sv",
        title: "Du står i kö",
        waiting: "Många är här just nu. Du kommer in av dig själv när det är din tur.",
        early: "Dörrarna är inte öppna än. När de öppnas lottas ordningen bland alla som är här då.",
        closed: "Dörrarna är stängda en stund. Du behåller din plats.",
        over: "Det är slut. Tack för ditt besök.",
        full: "För många väntar. Kom tillbaka om några minuter.",
        place: "Din plats",
        next: "Det är snart din tur",
        waiting_count: "Väntar nu",
        soon: "mindre än en minut",
        minutes: "ungefär {n} min",
        hours: "ungefär {n} tim",
        days: "ungefär {n} dagar",
        unknown: "går inte att säga än",
        keep: "Sidan uppdaterar sig själv. Om du går behåller du din plats i några minuter.",
        keep_early: "Du kan gå. Kom tillbaka i samma webbläsare när dörrarna öppnas.",
        no_cookies: "Din webbläsare sparar inga kakor från den här webbplatsen. Tillåt dem för att komma in. Du behåller din plats så länge sidan är öppen.",
        cookies: "Din plats finns i en kaka. Tillåt kakor från den här webbplatsen.",
        group: '\u{a0}',
    },
];

impl Words {
    /// A number as it is written in this language: in groups of three digits; where Spanish and Polish have four, they stay
    /// together (Unicode CLDR, `minimumGroupingDigits`).
    pub(crate) fn number(&self, number: u64) -> String {
        let digits = number.to_string();
        if digits.len() < 4 || (digits.len() == 4 && matches!(self.code, "es" | "pl")) {
            return digits;
        }
        let mut grouped = String::with_capacity(digits.len() * 2);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                grouped.push(self.group);
            }
            grouped.push(digit);
        }
        grouped
    }
}

/// The words for this language code, whatever its region.
pub(crate) fn of(code: &[u8]) -> Option<&'static Words> {
    let main = code.split(|&byte| byte == b'-').next().unwrap_or_default();
    LANGUAGES.iter().find(|words| words.code.as_bytes().eq_ignore_ascii_case(main))
}

/// The words for a visitor: of the room's language, else of the market that the path names (`/de/…`, `/de-at/…`), else of
/// the first of his own that is known (RFC 9110 section 12.5.4, by weight).
pub(crate) fn choose(of_room: Option<&str>, path: &[u8], accepted: Option<&[u8]>) -> &'static Words {
    let of_room = of_room.and_then(|code| of(code.as_bytes()));
    let of_market = || {
        let first = path.split(|&byte| byte == b'/').find(|segment| !segment.is_empty())?;
        (first.len() == 2 || (first.len() == 5 && first[2] == b'-')).then(|| of(first)).flatten()
    };
    of_room.or_else(of_market).or_else(|| accepted.and_then(by_weight)).unwrap_or(&LANGUAGES[0])
}

fn by_weight(accepted: &[u8]) -> Option<&'static Words> {
    let mut best: Option<(f32, &'static Words)> = None;
    for item in accepted.split(|&byte| byte == b',').take(16) {
        let mut parts = item.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let Some(words) = parts.next().and_then(of) else { continue };
        let weight = parts.find_map(|part| std::str::from_utf8(part.strip_prefix(b"q=")?).ok()?.parse().ok());
        let weight = weight.unwrap_or(1.0);
        if weight > 0.0 && best.is_none_or(|(known, _)| weight > known) {
            best = Some((weight, words));
        }
    }
    best.map(|(_, words)| words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_as_each_language_does() {
        let written = |number: u64| LANGUAGES.each_ref().map(|words| (words.code, words.number(number)));
        for (code, number) in written(1_234_567) {
            let expected = match code {
                "en" => "1,234,567",
                "fr" => "1\u{202f}234\u{202f}567",
                "pl" | "sv" => "1\u{a0}234\u{a0}567",
                _ => "1.234.567",
            };
            assert_eq!(number, expected, "{code}");
        }
        let four = written(1_234).map(|(_, number)| number);
        assert_eq!(four[..4], ["1,234", "1.234", "1\u{202f}234", "1234"]);
        assert_eq!(written(999)[0].1, "999");
    }

    #[test]
    fn a_visitor_reads_his_markets_language_or_his_own() {
        let code = |of_room, path: &str, accepted: Option<&str>| {
            choose(of_room, path.as_bytes(), accepted.map(str::as_bytes)).code
        };
        assert_eq!(code(Some("fr"), "/de/cart", Some("sv")), "fr");
        assert_eq!(code(None, "/de/cart", Some("sv")), "de");
        assert_eq!(code(None, "/de-at/cart", Some("sv")), "de");
        assert_eq!(code(None, "/cart", Some("sv;q=0.5, pl-PL;q=0.9, ja")), "pl");
        assert_eq!(code(None, "/it-department", None), "en");
        assert_eq!(code(None, "/", Some("ja, de;q=0")), "en");
        assert_eq!(code(None, "/", None), "en");
    }
}

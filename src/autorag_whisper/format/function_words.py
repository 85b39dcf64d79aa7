"""Words that belong to what follows them: no cue and no line should end with one.

The closed word classes of a language, as Universal Dependencies tags them: determiners (DET), adpositions (ADP),
conjunctions (CCONJ, SCONJ), and pronouns and auxiliaries (PRON, AUX) as far as they stand before their verb. Lists of
our own, of the forms that are frequent in speech; a form that is as often an adverb or a noun is left out.
"""

# ruff: noqa: RUF001 - letters of other scripts are the matter of this table
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FunctionWords:
    """The lists of one language, in lower case. A line may well begin with a conjunction or a preposition."""

    determiners: frozenset[str] = frozenset()
    prepositions: frozenset[str] = frozenset()
    conjunctions: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()

    def __contains__(self, word: object) -> bool:
        return word in self.determiners or word in self.openers or word in self.others

    @property
    def openers(self) -> frozenset[str]:
        """With which a phrase begins."""
        return self.prepositions | self.conjunctions


def _of(determiners: str, prepositions: str, conjunctions: str, others: str) -> FunctionWords:
    return FunctionWords(*(frozenset(words.split()) for words in (determiners, prepositions, conjunctions, others)))


_NONE = FunctionWords()

_LISTS = {
    "en": _of(
        "a an the my your his her its our their this these those every each no some any such another whose what",
        "of to in on at by for with from into onto upon about over under after before between through during without "
        "within against among around behind beside beyond near since until till towards toward across along off "
        "per via",
        "and or but nor that which who whom if because although though while whereas when where whether as than so",
        "i you he she it we they is are was were be been being am has have had do does did will would can could shall "
        "should may might must not i'm you're he's she's it's we're they're i've you've we've they've i'll "
        "you'll he'll "
        "she'll we'll they'll don't doesn't didn't isn't aren't wasn't weren't won't can't there very too",
    ),
    "de": _of(
        "der die das den dem des ein eine einen einem einer eines kein keine keinen keinem keiner mein meine meinen "
        "meinem meiner dein deine sein seine seinen seinem seiner ihr ihre ihren ihrem ihrer unser unsere "
        "unseren unserem "
        "euer eure dieser diese dieses diesen diesem jeder jede jedes jeden jedem jener jene welche welcher welches",
        "in im ins an am ans auf bei beim von vom zu zum zur mit nach aus für durch über unter vor hinter "
        "zwischen neben "
        "gegen ohne um bis seit während wegen trotz gegenüber",
        "und oder aber sondern denn dass daß ob weil da wenn als wie obwohl damit sodass nachdem bevor falls "
        "sobald indem",
        "ich du er sie es wir man ist sind war waren bin bist hat haben hatte hatten habe wird werden wurde "
        "wurden kann "
        "können konnte muss müssen soll sollte will wollen darf nicht sich so sehr",
    ),
    "fr": _of(
        "le la les un une des du au aux ce cet cette ces mon ma mes ton ta tes son sa ses notre nos votre vos "
        "leur leurs "
        "quel quelle quels quelles chaque",
        "de d' à en dans par pour sur sous avec sans chez vers entre contre depuis pendant jusque jusqu' avant après",
        "et ou mais donc or ni car que qu' qui dont où si quand lorsque lorsqu' comme puisque parce tandis",
        "je j' tu il elle on nous vous ils elles me m' te t' se s' ne n' y est sont était étaient suis es a ai "
        "ont avait "
        "avaient sera seront peut peuvent fait pas très plus c' l' c'est qu'il qu'elle",
    ),
    "es": _of(
        "el la los las un una unos unas mi mis tu tus su sus nuestro nuestra nuestros nuestras este esta estos "
        "estas ese "
        "esa esos esas aquel aquella cada lo al del",
        "a de en con por para sin sobre entre hasta desde hacia contra según durante ante bajo tras",
        "y e o u pero sino ni que si porque como cuando donde aunque mientras pues quien quienes cual cuales cuyo cuya",
        "yo tú él ella nosotros ellos ellas usted ustedes me te se le les nos no es son era eran fue fueron ha han he "
        "había habían está están muy más",
    ),
    "it": _of(
        "il lo la i gli le l' un uno una un' mio mia miei mie tuo tua suo sua suoi sue nostro nostra vostro "
        "vostra loro "
        "questo questa questi queste quel quello quella quei quelle ogni",
        "di a da in con su per tra fra del dello della dei degli delle dell' al allo alla ai agli alle all' dal dallo "
        "dalla dai dagli dalle dall' nel nello nella nei negli nelle nell' sul sullo sulla sui sugli sulle sull' senza",
        "e ed o ma né che se perché come quando dove mentre anche cui chi quindi però",
        "io tu lui lei noi voi mi ti si ci vi ne non è sono era erano ha hanno ho aveva molto più",
    ),
    "pt": _of(
        "o a os as um uma uns umas meu minha meus minhas teu tua seu sua seus suas nosso nossa este esta estes "
        "estas esse "
        "essa esses essas aquele aquela cada",
        "de do da dos das em no na nos nas num numa por pelo pela pelos pelas para com sem sobre entre até desde "
        "ao à aos "
        "às contra durante",
        "e ou mas nem que se porque como quando onde embora enquanto pois quem cujo cuja",
        "eu tu ele ela nós eles elas você vocês me te lhe não é são era eram foi foram tem têm há está estão "
        "muito mais",
    ),
    "nl": _of(
        "de het een mijn jouw je zijn haar ons onze jullie hun deze dit die dat elke elk geen",
        "van in op aan bij voor met naar uit door over onder tussen tegen zonder om tot sinds tijdens te",
        "en of maar want dat die omdat als wanneer terwijl hoewel zodat toen dan",
        "ik jij hij zij ze wij we u is was waren ben bent heeft hebben had hadden wordt worden werd kan kunnen zal zou "
        "niet zich er zeer",
    ),
    "pl": _of(
        "ten ta to te tego tej tym tych mój moja moje twój jego jej nasz nasza ich każdy każda",
        "w we z ze na do od o po za przed przez dla bez pod nad przy u między ku",
        "i a ale lub albo oraz że żeby aby bo gdy kiedy jeśli jak czy który która które którzy których którym więc",
        "nie się jest są był była było byli być ja ty on ona my oni bardzo",
    ),
    "ru": _of(
        "этот эта это эти того этого мой моя моё мои твой его её наш наша наши их каждый свой своя свою свои",
        "в во на с со к ко у о об от до из за по под над при для без через между перед про около",
        "и а но или что чтобы если когда как потому который которая которое которые которого где хотя пока либо",
        "не ни я ты он она оно мы вы они был была было были есть быть будет очень",
    ),
    "uk": _of(
        "цей ця це ці того цього мій моя моє твій його її наш наша їх кожен свій своя",
        "в у на з із зі до від о об по за під над при для без через між перед про біля",
        "і й та а але або що щоб якщо коли як бо який яка яке які де хоча поки",
        "не ні я ти він вона воно ми ви вони був була було були є бути буде дуже",
    ),
    "cs": _of(
        "ten ta to ti tento tato toto můj moje tvůj jeho její náš naše jejich každý svůj",
        "v ve na s se z ze k ke u o od do za po pod nad při pro bez přes mezi před",
        "a i ale nebo že aby když jestli jak protože který která které kteří kde než",
        "ne se si je jsou byl byla bylo byli být já ty on ona my vy oni jsem jsme velmi",
    ),
    "ro": _of(
        "un o unei unui niște acest această acești aceste acel acea al ai ale meu mea său sa lui ei lor fiecare",
        "de la în din pe cu pentru prin spre fără sub peste între până după",
        "și sau dar că să dacă când cum unde care pentru deși ori nici",
        "eu tu el ea noi voi ei ele nu se este sunt era erau a am au fost foarte mai",
    ),
    "sv": _of(
        "en ett den det de min mitt mina din sin sitt sina hans hennes vår vårt våra deras denna detta dessa varje",
        "i på av till för med om från vid under över mellan utan hos genom mot efter före åt",
        "och eller men att som om när där eftersom medan fast än",
        "jag du han hon vi ni är var har hade blir blev ska skulle kan kunde inte sig mycket",
    ),
    "da": _of(
        "en et den det de min mit mine din sin sit sine hans hendes vores deres denne dette disse hver",
        "i på af til for med om fra ved under over mellem uden hos gennem mod efter før ad",
        "og eller men at som om når hvor fordi mens da end",
        "jeg du han hun vi I er var har havde bliver blev skal skulle kan kunne ikke sig meget",
    ),
    "no": _of(
        "en ei et den det de min mitt mine din sin sitt sine hans hennes vår vårt våre deres denne dette disse hver",
        "i på av til for med om fra ved under over mellom uten hos gjennom mot etter før",
        "og eller men at som om når der fordi mens da enn",
        "jeg du han hun vi er var har hadde blir ble skal skulle kan kunne ikke seg veldig",
    ),
    "zh": _of(
        "這 这 那 每 各 某 我的 你的 他的 她的",
        "在 對 对 從 从 把 被 給 给 向 於 于 以 用 為 为 跟",
        "和 與 与 或 及 但 而 因為 因为 所以 如果 若 雖然 虽然 當 当",
        "很 不 沒 没 也 都 就 還 还 是 會 会 要 能 可以 應該 应该",
    ),
    "ca": _of(
        "el la els les l' un una uns unes meu meva seu seva aquest aquesta aquests aquestes aquell cada al del "
        "dels als",
        "a de d' en amb per sense sobre entre fins des cap contra",
        "i o però sinó ni que si perquè com quan on encara mentre qui",
        "jo tu ell ella nosaltres ells em et es s' no és són era eren ha han hi molt més",
    ),
}  # fmt: skip
_LISTS["nn"] = _LISTS["no"]
_LISTS["yue"] = _LISTS["zh"]


_NEGATIONS = {
    "en": frozenset({"not"}), "de": frozenset({"nicht"}), "nl": frozenset({"niet"}), "sv": frozenset({"inte"}),
    "da": frozenset({"ikke"}), "no": frozenset({"ikke"}), "fr": frozenset({"pas", "jamais"}),
    "ca": frozenset({"pas"}),
}  # fmt: skip
_NO_NEGATIONS: frozenset[str] = frozenset()


def negations(language: str) -> frozenset[str]:
    """Words that deny the verb before them ("ask not", "je ne sais pas"): no line begins with one."""
    return _NEGATIONS.get(language, _NO_NEGATIONS)


def function_words(language: str) -> FunctionWords:
    """The lists for a Whisper code; empty where there are none."""
    return _LISTS.get(language, _NONE)

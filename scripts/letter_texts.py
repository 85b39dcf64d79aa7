"""Words of other languages, for espeak-ng to speak: our own sentences, said in any order."""

from __future__ import annotations

TEXTS: dict[str, str] = {
    "de": """am morgen ging meine schwester mit dem hund durch den kalten wald und suchte nach pilzen
    der zug nach hamburg fährt heute leider zwanzig minuten später ab als geplant
    wir haben gestern abend noch lange über das neue projekt gesprochen und viel gelacht
    können sie mir bitte sagen wo hier die nächste apotheke ist ich brauche etwas gegen kopfschmerzen
    früher wohnten in diesem schönen alten haus zwei familien jetzt steht es schon seit jahren leer
    ich weiß nicht ob er wirklich kommt aber er hat es mir eigentlich versprochen""",
    "fr": """ce matin ma sœur est partie avec le chien dans la forêt pour chercher des champignons
    le train de lyon partira malheureusement avec vingt minutes de retard à cause de la neige
    nous avons parlé longtemps hier soir du nouveau projet et beaucoup ri ensemble
    pouvez vous me dire où se trouve la pharmacie la plus proche j'ai besoin de quelque chose
    autrefois deux familles vivaient dans cette belle maison maintenant elle est vide depuis des années
    je ne sais pas s'il viendra vraiment mais il me l'a promis quand même""",
    "es": """esta mañana mi hermana fue con el perro al bosque frío para buscar setas
    el tren de madrid sale hoy por desgracia veinte minutos más tarde de lo previsto
    ayer por la noche hablamos mucho tiempo del nuevo proyecto y nos reímos bastante
    puede decirme por favor dónde está la farmacia más cercana necesito algo para el dolor
    antes vivían en esta hermosa casa vieja dos familias ahora está vacía desde hace años
    no sé si de verdad viene pero me lo prometió cuando llegó el año pasado""",
    "it": """questa mattina mia sorella è andata con il cane nel bosco freddo a cercare funghi
    il treno per milano oggi purtroppo parte con venti minuti di ritardo
    ieri sera abbiamo parlato a lungo del nuovo progetto e riso molto insieme
    può dirmi per favore dove si trova la farmacia più vicina ho bisogno di qualcosa
    una volta in questa bella casa vecchia vivevano due famiglie adesso è vuota da anni
    non so se viene davvero però me lo ha promesso che sarebbe arrivato presto""",
    "pt": """esta manhã a minha irmã foi com o cachorro para a floresta fria procurar cogumelos
    o trem para lisboa parte hoje infelizmente com vinte minutos de atraso
    ontem à noite falamos muito tempo sobre o novo projeto e rimos bastante
    pode me dizer por favor onde fica a farmácia mais próxima preciso de alguma coisa
    antigamente moravam nesta bonita casa velha duas famílias agora está vazia há anos
    não sei se ele vem mesmo mas prometeu que chegava cedo""",
    "nl": """vanmorgen ging mijn zus met de hond door het koude bos om paddenstoelen te zoeken
    de trein naar utrecht vertrekt vandaag helaas twintig minuten later dan gepland
    wij hebben gisteravond nog lang over het nieuwe plan gesproken en veel gelachen
    kunt u mij zeggen waar hier de dichtstbijzijnde apotheek is ik heb iets nodig
    vroeger woonden in dit mooie oude huis twee gezinnen nu staat het al jaren leeg""",
    "pl": """dziś rano moja siostra poszła z psem do zimnego lasu szukać grzybów
    pociąg do krakowa odjeżdża niestety dwadzieścia minut później niż zwykle
    wczoraj wieczorem długo rozmawialiśmy o nowym projekcie i dużo się śmialiśmy
    czy może mi pan powiedzieć gdzie jest najbliższa apteka potrzebuję czegoś na ból głowy
    kiedyś w tym pięknym starym domu mieszkały dwie rodziny teraz od lat stoi pusty""",
    "sv": """i morse gick min syster med hunden genom den kalla skogen och letade efter svamp
    tåget till göteborg går tyvärr tjugo minuter senare än planerat idag
    vi pratade länge igår kväll om det nya projektet och skrattade mycket
    kan du säga mig var närmaste apotek ligger jag behöver något mot huvudvärk
    förr bodde två familjer i det här vackra gamla huset nu står det tomt sedan flera år""",
    "cs": """dnes ráno šla moje sestra se psem do studeného lesa hledat houby
    vlak do brna dnes bohužel odjíždí o dvacet minut později než obvykle
    včera večer jsme dlouho mluvili o novém plánu a hodně jsme se smáli
    můžete mi prosím říct kde je nejbližší lékárna potřebuji něco na bolest hlavy""",
    "tr": """bu sabah kız kardeşim köpekle birlikte soğuk ormana mantar aramaya gitti
    ankara treni bugün maalesef yirmi dakika geç kalkıyor
    dün akşam yeni proje hakkında uzun uzun konuştuk ve çok güldük
    bana en yakın eczanenin nerede olduğunu söyleyebilir misiniz""",
    "fi": """tänä aamuna siskoni meni koiran kanssa kylmään metsään etsimään sieniä
    juna tampereelle lähtee tänään valitettavasti kaksikymmentä minuuttia myöhässä
    puhuimme eilen illalla pitkään uudesta hankkeesta ja nauroimme paljon""",
    "ro": """azi dimineață sora mea s-a dus cu câinele în pădurea rece să caute ciuperci
    trenul spre cluj pleacă astăzi din păcate cu douăzeci de minute mai târziu
    aseară am vorbit mult timp despre noul proiect și am râs foarte mult""",
    "ca": """aquest matí la meva germana ha anat amb el gos al bosc fred a buscar bolets
    el tren de girona surt avui per desgràcia vint minuts més tard
    ahir al vespre vam parlar molta estona del nou projecte i vam riure força""",
    "ru": """сегодня утром моя сестра пошла с собакой в холодный лес искать грибы
    поезд на москву отправляется к сожалению на двадцать минут позже обычного
    мы вчера вечером ещё долго говорили о новом проекте и много смеялись
    скажите пожалуйста где здесь ближайшая аптека мне нужно что нибудь от головной боли
    раньше в этом красивом старом доме жили две семьи теперь он уже много лет стоит пустой
    я не знаю придёт ли он на самом деле но он мне это обещал
    каждый человек имеет право на жизнь свободу и личную безопасность
    это был длинный день и все очень устали но никто не жаловался
    цены на хлеб и молоко выросли почти вдвое за последний год
    объявление висело у входа в съезд шёл четвёртый день бюджет ещё не утвердили""",
    "uk": """сьогодні вранці моя сестра пішла з собакою в холодний ліс шукати гриби
    потяг до києва на жаль відправляється на двадцять хвилин пізніше ніж зазвичай
    ми вчора ввечері ще довго говорили про новий проєкт і багато сміялися
    скажіть будь ласка де тут найближча аптека мені щось потрібно від головного болю""",
}

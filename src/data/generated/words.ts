// Question: which words do the tasks tell their stories with?
//
// Names, activities and things as in BIG-Bench Hard, whose vocabulary is closed; the words to sort are common English.

export const liars: readonly string[] = (
  "Alejandro Alexis Amberly Andree Antwan Audrie Bernita Christie Conception Crista Dallas Delbert Delfina Elanor " +
  "Fidel Fletcher Gwenn Helene Inga Jamey Jaymie Jerry Jim Ka Kandi Kristian Leda Lorine Maybelle Michael Michaela " +
  "Millicent Millie Osvaldo Phoebe Rashida Raymond Ryan Sal Shalonda Shaunda Shenna Sherrie Sima Tamika Teressa " +
  "Vernell Vina Willian Yoland"
).split(" ");

export const witnesses: readonly string[] = (
  "Andrew Anthony Ashley Betty David Elizabeth Emily Hannah James Jason Jennifer Jessica John Kimberly Leslie Linda " +
  "Lisa Mark Mary Michael Nancy Richard Samantha Sarah Sean Steven Susan Thomas Tiffany William"
).split(" ");

export const destinations: readonly string[] = (
  "amusement park,art show,art studio,bakery,basketball court,beach,bookstore,clothing store,coffee shop," +
  "construction site,dance studio,football field,gas station,library,market,movies,museum,orchestra hall,park," +
  "physics classroom,restaurant,soccer field,swimming pool"
).split(",");

export const activities: readonly string[] = [
  "attending class at the school",
  "buying a bike at the bike shop",
  "buying a phone at the electronics store",
  "buying clothes at the mall",
  "buying cookies at a bakery",
  "buying lunch at the deli",
  "driving to the water park",
  "fixing their computer at the electronic store",
  "getting a coffee at the cafe",
  "playing tennis at the tennis court",
  "reading at the library",
  "sitting on a rooftop",
  "stretching at a yoga studio",
  "taking photos near the Eiffel Tower",
  "taking photos near the Leaning Tower of Pisa",
  "waiting at the airport",
  "waiting at the train station",
  "walking in the garden",
  "walking towards the Statue of Liberty",
  "watching a movie at the theater",
  "working at the office",
  "working out at the gym",
];

/** "an apple apples" as ["an apple", "apples"]; words of a thing are joined by underscores. */
const things = (text: string): (readonly [one: string, many: string])[] =>
  text.split(", ").map((pair) => {
    const [article, one, many] = pair.split(" ").map((word) => word.replaceAll("_", " ")) as [string, string, string];
    return [`${article} ${one}`, many];
  });

/** The things of each kind, one and many. */
export const kinds: Readonly<Record<string, readonly (readonly [one: string, many: string])[]>> = {
  vegetables: things(
    "a cabbage cabbages, a carrot carrots, a cauliflower cauliflowers, a garlic garlics, " +
      "a head_of_broccoli heads_of_broccoli, a lettuce_head lettuce_heads, an onion onions, a potato potatoes, " +
      "a stalk_of_celery stalks_of_celery, a yam yams",
  ),
  fruits: things(
    "an apple apples, a banana bananas, a blackberry blackberries, a grape grapes, a nectarine nectarines, " +
      "an orange oranges, a peach peaches, a plum plums, a raspberry raspberries, a strawberry strawberries",
  ),
  "musical instruments": things(
    "an accordion accordions, a clarinet clarinets, a drum drums, a flute flutes, a piano pianos, " +
      "a trombone trombones, a trumpet trumpets, a violin violins",
  ),
  animals: things(
    "a bear bears, a cat cats, a chicken chickens, a cow cows, a dog dogs, a donkey donkeys, a duck ducks, " +
      "a fish fish, a frog frogs, a goat goats, a mouse mice, a pig pigs, a rabbit rabbits, a snail snails, a snake snakes",
  ),
  objects: things(
    "a bed beds, a car cars, a chair chairs, a couch couches, a fridge fridges, a lamp lamps, a microwave microwaves, " +
      "an oven ovens, a stove stoves, a table tables, a toaster toasters",
  ),
};

/** "an apple" for "apples". */
export const singulars: ReadonlyMap<string, string> = new Map(
  Object.values(kinds).flatMap((each) => each.map(([one, many]) => [many, one])),
);

/** Words to be sorted. */
export const sortedWords: readonly string[] = (
  "able acid admit adult agent alarm album alive anchor angle animal apple apron arch arena artist autumn award axis " +
  "bacon badge baker balance bamboo banner barrel basin basket beach beard beaver bench berry blade blanket blossom " +
  "board bottle branch bread breeze brick bridge broom brush bubble bucket bundle butter button cabin cable cactus " +
  "camel candle canoe canvas captain carbon cargo carpet castle cedar cellar chain chalk charm cherry chest chimney " +
  "circle cliff clock cloud clover coast cobalt coffee comet copper coral corner cotton cradle crane crater cream " +
  "cricket crown crystal curtain daisy dance dawn delta desert diary dinner dolphin donkey dragon dream drift drum " +
  "eagle earth echo elbow ember engine envelope evening fabric falcon feather fence fern ferry fiddle field finger " +
  "flame flask flint flour flute forest fossil fountain fox frame frost galaxy garden garlic gate giant ginger glass " +
  "globe glove gold grain granite grape gravel guitar hammer harbor harvest hazel helmet hill hollow honey horizon " +
  "hornet hotel hunter ink iron island ivory ivy jacket jade jewel jungle kettle kitchen kite ladder lagoon lantern " +
  "lemon letter lily linen lizard lumber magnet mantle maple marble market meadow melon metal mirror mist monkey moon " +
  "mortar motor mountain museum needle nickel north novel oak oasis ocean olive onion orbit orchard otter oval oxygen " +
  "paddle palace panel paper parade parrot path pearl pebble pencil pepper phantom piano pigeon pillow pilot planet " +
  "plaza pocket pond poplar potato prairie prism pumpkin quartz queen quilt rabbit radar raven reef ribbon river robin " +
  "rocket saddle salmon sand scarf shadow shell silver smoke spark spider spring stone storm summit sunset swallow " +
  "table temple thistle thunder tiger timber tower trail tulip tunnel turtle valley vapor velvet vessel village violet " +
  "voyage wagon walnut water whale wheat willow window winter wolf wonder yarn zebra zenith"
).split(" ");

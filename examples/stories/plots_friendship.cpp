// Friends: something lost and found, a new friend, sharing, helping, a wish, a race.
#include "examples/stories/plot.hpp"

namespace tessera::stories {

namespace {

Plot lost_and_found() {
  return {
      "lost_and_found",
      true,
      {{"first,second,spot",
        {"behind the big tree", "under the old bench", "in the tall grass", "next to the bridge", "under a bush",
         "behind a rock", "near the fence", "by the well"}},
       {"junk", {"an old shoe", "a brown leaf", "a sleepy snail", "a shiny stone", "two ants", "a broken cup"}}},
      {
          R"({A} had a~ {color} {thing}. [It was a gift from {E}.|It was {A.his} favorite thing in the world.|{A.he} took it everywhere.])",
          R"([One day|One morning|One windy day], {A} went to play {at}. [{A.he} ran and jumped and laughed.|{A.he} played there for a long time.|{A.he} had a lot of fun.] [But when it was time to go home, the {color} {thing} was gone.|But then {A.he} looked around. The {color} {thing} was gone.])",
          R"("[Oh no!|Oh dear!] Where is my {thing}?" {A} [cried|said]. [{A.he} felt very sad.|Big tears ran down {A.his} face.|{A.he} looked and looked, but {A.he} could not see it.])",
          R"([Just then, {A.his} friend {B} came along.|{B} heard {A.him} and came to see what was wrong.|{A.his} friend {B} was playing near {place} and came over.] "Why are you so sad, {A}?" asked {B}.)",
          R"("I lost my {color} {thing}," said {A}. [|"I do not know where it is."])",
          R"("[Do not worry|Do not cry|Do not be sad]," said {B}. "[I will help you look.|We will find it together.|Four eyes see more than two.]")",
          R"([First they|They] looked {first}, but [it was not there|the {thing} was not there|there was nothing]. [Then they|They] looked {second}, but they only found {junk}.)",
          R"([At last|Then], {B} looked {spot}. "{A}, come [here|and see]!" {B} called. [There it was, the {color} {thing}!|Something {color} was there. It was the {thing}!])",
          R"({A} [hugged the {thing}|picked up the {thing} and smiled|jumped up and down with joy]. "Thank you, {B}! You are [a true friend|the best friend of all|so kind]," {A.he} said.)",
          R"([From that day on, {A} took good care of the {thing}.|That night, {A} slept with the {color} {thing} next to {A.his} bed.|{A} and {B} played with the {thing} until the sun went down.|They went home together, and {A} never let go of the {thing}.])",
      }};
}

Plot new_friend() {
  return {
      "new_friend",
      false,
      {{"game",
        {"played hide and seek", "built a tall tower of stones", "made two crowns of flowers",
         "ran around the old tree", "threw leaves into the air", "drew pictures in the sand"}},
       {"like",
        {"stories", "songs", "warm rain", "climbing trees", "picking berries", "looking at clouds", "the snow"}}},
      {
          R"([One day|One spring morning|One Sunday], a new {B.kind} came to live [near {A}|next door|not far away]. {B.his} name was {B}. [{B} was shy and did not say much.|{B} did not know anybody there.])",
          R"({A} saw {B} {at}. {B} sat all alone [under a tree|on a stone|in a corner] and [looked at the ground|watched the others play|did not smile].)",
          R"([{A} wanted to say hello, but {A.he} did not know how.|"I want to play with {B.him}, but what can I say?" {A} asked.] "[Just be kind|Just say your name|Just smile]," said {E}. "[A new friend is a gift.|That is how friends begin.|Everybody needs a friend.]")",
          R"([So {A}|The next day, {A}] took {A.his} {color} {thing} and {A.went} over to {B}. "Hello, I am {A}. Do you want to play with me?" {A.he} asked.)",
          R"({B} looked up [slowly|and blinked]. "[Really?|With me?] [I thought nobody wanted to play with me|I was so lonely|I would like that very much]," {B.he} said.)",
          R"({A} [showed {B} the {thing}|let {B} hold the {thing}]. Then they {game}. [Soon {B} was laughing.|Soon they were both laughing.|{B} was not shy any more.])",
          R"("What do you like best?" asked {A}. "I like {like}," said {B}. "I like {like} too!" said {A}.)",
          R"([When the sun went down|In the evening], {B} said, "[This was my best day here.|Thank you for playing with me.|Will you come back tomorrow?]" {A} [smiled and took {B.his} {B.hand}|nodded and gave {B.him} a hug].)",
          R"([From that day on, {A} and {B} met {at} every day.|After that, {B} was never alone again.|{A} ran home to tell {E}. "I have a new friend!" {A.he} called.|And that is how {A} and {B} became best friends.])",
      }};
}

Plot sharing() {
  return {
      "sharing",
      true,
      {{"food", {"apples", "cookies", "berries", "pears", "carrots", "nuts", "plums", "little cakes", "cherries"}},
       {"number", {"six", "seven", "eight", "nine", "ten"}},
       {"drink", {"a jug of milk", "some sweet honey", "a round cheese", "a loaf of bread", "a pot of tea"}}},
      {
          R"([One day|One morning], {A} [had|got] a basket with {number} {food}. [{E} had given it to {A.him}.|{A.he} had found them near {place}.] [They smelled so good.|They looked so good.])",
          R"("These {food} are all mine," said {A}. {A.he} [sat down {at} and began to eat|held the basket close].)",
          R"([Soon|Then] {B} came by. {B.he} was [hungry|very hungry]. "[May I have one?|Can I have one, please?] I have not eaten all day," said {B}.)",
          R"("No!" said {A}. "[They are mine.|I want them all.|Find your own {food}.]" {B} [looked sad and went away|said nothing and walked away slowly].)",
          R"({A} ate one, and then another one. [But it was no fun to eat alone.|But they did not taste good any more.|Then {A.his} tummy began to hurt.] {A.he} thought of {B} and felt [bad|sorry].)",
          R"({E} saw {A} and asked, "What is the matter?" "I did not share with {B}," said {A} [|in a small voice]. "[It is not too late|You can still share]," said {E}. "[Food tastes best with a friend.|Sharing makes two hearts happy.]")",
          R"({A} took the basket and ran to find {B}. {B} was sitting {at}. "I am sorry, {B}," said {A}. "[Please take some {food}.|Half of the {food} are for you.]")",
          R"({B} [smiled|began to smile]. "Thank you, {A}! I have something too," {B.he} said. {B} brought {drink}, and they [sat down side by side|had a picnic {at}].)",
          R"([They ate and talked and laughed.|They ate until nothing was left.] "The {food} taste much better now," said {A}.)",
          R"([From then on, {A} always shared with {B}.|After that day, {A} never ate {A.his} {food} alone.|And {A} learned that it feels good to share.])",
      }};
}

Plot helping_a_stranger() {
  return {
      "helping_a_stranger",
      true,
      {{"stranger/he/his/him",
        {"old turtle/she/her/her", "old woman/she/her/her", "old man/he/his/him", "old donkey/he/his/him",
         "old goose/she/her/her", "old badger/he/his/him"}},
       {"load/where",
        {"a heavy bag of corn/the mill", "a big basket of apples/the market", "a pile of wood/a house on the hill",
         "a large box of books/the school", "three big pumpkins/the market"}},
       {"gift",
        {"a tiny silver bell", "a little wooden bird", "a bag of flower seeds", "a small golden key",
         "a shell that sang like the sea"}}},
      {
          R"([One day|One cold morning|One hot day], {A} was on the way to {place}. {A.he} wanted to [play with {B}|meet {B} there].)",
          R"([On the path|By the road] {A.he} saw an {stranger} with {load}. The {stranger} [could not go on|was very tired|sat on a stone and sighed].)",
          R"("[What is wrong?|Can I help you?]" asked {A}. "I must bring this to {where}, but [it is too heavy for me|my legs are too tired]," said the {stranger}.)",
          R"({A} thought of {B}, who was waiting. [But {A.he} could not leave the {stranger} alone.|"{B} can wait a little," {A.he} said.] "I will help you," said {A}. "[I am small, but I am strong.|We can do it together.]")",
          R"({A} [took one side and the {stranger} took the other|pushed and the {stranger} pulled]. Step by step they went [up the hill|along the road]. [It was hard work.|{A} was soon hot and tired, but {A.he} did not stop.])",
          R"(At last they came to {where}. "Thank you, {A}," said the {stranger}. "[You have a kind heart.|Nobody else stopped to help me.]" And the {stranger} gave {A.him} {gift}.)",
          R"(Then {A} ran to {place} as fast as {A.he} could. {B} was still there. "You are late," said {B}. [|"I was worried."])",
          R"({A} told {B} about the {stranger} and showed {B.him} the gift. "[You did the right thing|That was kind of you]," said {B}. "[Next time I will help too.|I would have waited all day.]")",
          R"([{A} kept the gift for a long time, and it always made {A.him} smile.|The next day, {A} and {B} went to see the {stranger} together.|And after that, whenever {A} saw someone who needed help, {A.he} stopped.])",
      }};
}

Plot star_wish() {
  return {
      "star_wish",
      false,
      {{"together",
        {"looked for the moon", "told each other stories", "sang an old song", "lay in the soft grass",
         "ate bread and honey"}},
       {"answer", {"a cricket", "the wind", "an owl far away", "the sea far away"}}},
      {
          R"([{A} had nobody to play with.|{A} was often alone.] {A.his} {color} {thing} was [|almost] {A.his} only friend.)",
          R"([One night|One clear night], {A} [looked out of the window|sat outside and looked at the sky]. [Suddenly|Just then] a bright star fell from the sky. "[Make a wish|Now you can make a wish]," said {E}.)",
          R"({A} closed {A.his} eyes. "I wish for a friend," {A.he} whispered. [Then {A.he} listened, but there was only {answer}.|Only {answer} answered.])",
          R"([The next day|In the morning], {A} looked [behind the door|in front of the house]. There was no friend. {A} [was sad|sighed]. "[Wishes need time|Wishes need a little help]," said {E}. "[Go out and look around.|Why do you not go to {place}?]")",
          R"(So {A} took the {thing} and went to {place}. [There {A.he} saw a~ {B.kind}|A~ {B.kind} was sitting there], and {B.he} looked [sad|lonely] too. "[Hello.|Good morning.] What is your name?" asked {A}.)",
          R"("I am {B}," said the {B.kind}. "[Last night I saw a star fall|I saw a star last night], and I wished for a friend. But nobody came.")",
          R"({A}'s eyes grew big. "I saw the same star! I made the same wish!" {A.he} said. They looked at each other and began to laugh.)",
          R"([All day long they played with the {color} {thing}.|They took turns with the {color} {thing} all day.] [When it got dark|In the evening], {A} and {B} {together} and waited for another star.)",
          R"("[What will you wish for now?|Do you have another wish?]" asked {B}. "[Nothing|Nothing at all]," said {A}. "I have [all I need|a friend now].")",
      }};
}

Plot race() {
  return {
      "race",
      true,
      {{"goal", {"the old mill", "the big oak tree", "the white bridge", "the end of the meadow", "the red barn"}},
       {"trouble/help",
        {"fell and hurt {B.his} foot/helped {B.him} up and held {B.his} {B.hand}",
         "fell into a muddy hole/pulled {B.him} out with a long stick",
         "was caught in a thorn bush/took the thorns away, one by one"}},
       {"prize", {"a big cake", "a golden ribbon", "a basket of cherries", "a crown of flowers"}}},
      {
          R"({A} was very fast. [Nobody could run like {A.him}.|{A.he} ran everywhere.] [One day|One summer day] there was a race to {goal}. [{A.he} wanted to win.|"I will win," said {A}.] The prize was {prize}.)",
          R"({A.his} friend {B} wanted to run too. "[I am not fast, but I will try|I have never won anything]," said {B}.)",
          R"("One, two, three, go!" [called|shouted] {E}. Everybody ran. [Soon {A} was in front.|{A} ran like the wind.] [{A.he} could already see {goal}.|{goal} was not far away.])",
          R"([Then|Suddenly] {A} heard a cry. {A.he} looked back. {B} [lay|was] far behind. {B.he} {trouble}.)",
          R"([{A} stopped. "If I go back, I will not win," {A.he} thought.|{A} looked at {goal}, and then at {B}.] [But {B} needed help.|But a friend is more than a prize.] {A} turned around and ran back.)",
          R"({A} {help}. "[Why did you come back?|What about the prize?]" asked {B}. "[You are my friend|You are more important than a prize]," said {A}. "[We will finish together.|Come, we will go on together.]")",
          R"(Slowly they walked to {goal}, side by side. They were the last ones. But everybody [clapped and cheered|clapped their hands|cheered for them].)",
          R"({E} [smiled|was very proud]. "The one who was first [is fast|can run well]. But {A} has the biggest heart," said {E}. And [they all shared the prize|there was a prize for {A} and {B} too].)",
          R"("[This is better than winning|I did not win, but I am happy]," said {A}. [{B} laughed and hugged {A.him}.|And {B} agreed.|And the two friends walked home, very slowly.])",
      }};
}

Plot quarrel() {
  return {
      "quarrel",
      true,
      {{"weather", {"It began to rain", "The sun went behind a cloud", "A cold wind came up"}},
       {"alone", {"threw stones into the water", "counted the ants", "walked up and down", "looked at the sky"}},
       {"half/later",
        {"in the morning/in the afternoon", "today/tomorrow", "on the way there/on the way back",
         "before lunch/after lunch"}}},
      {
          R"({A} and {B} were best friends. [They did everything together.|They played together every day.] [One day|One morning], they found a~ {color} {thing} {at}. [It belonged to nobody.|Nobody had lost it.])",
          R"("[It is mine!|I want it!] I saw it first," said {A}. "No, it is mine! I picked it up," said {B}. They both pulled at the {thing}. [They pulled harder and harder.|"Let go!" shouted {A}. "You let go!" shouted {B}.])",
          R"("[You are not my friend any more!|I will never play with you again!]" said {B}. [{B} went away|{B} walked home] without looking back. Now {A} had the {color} {thing}. {weather}.)",
          R"(?{A} played with the {thing}, but [it was not much fun|{A.he} did not smile]. There was nobody to laugh with. [So {A}|After a while, {A}] only {alone}.)",
          R"(?{B} sat at home alone. [{B} was not angry any more.|{B} was not happy.] "[I should not have said that|I miss {A}]," {B.he} thought.)",
          R"({E} saw {A} and asked, "[Where is {B}?|Why are you alone?]" {A} told {E} everything. "What is better, a~ {thing} or a friend?" asked {E}. [{A} did not have to think for long.|{A} knew the answer at once.])",
          R"({A} took the {thing} and ran to {B}'s house. But {B} was already on the way to {A}. They met in the middle. "I am sorry!" they both said at the same time. [Then they had to laugh.|And they both began to laugh.])",
          R"("[You can have the {thing}|Please take it]," said {A}. "No, you take it," said {B}. "[I have an idea|I know what we can do]," said {A}. "You have it {half}, and I have it {later}.")",
          R"([And that is what they did.|So they did.] [They never fought about the {thing} again.|The {color} {thing} belonged to both of them.|It is good to have a~ {thing}, but it is better to have a friend.|And {A} and {B} were best friends again.])",
      }};
}

}  // namespace

std::vector<Plot> friendship_plots() {
  return {lost_and_found(), new_friend(), sharing(), helping_a_stranger(), star_wish(), race(), quarrel()};
}

}  // namespace tessera::stories

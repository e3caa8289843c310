import { conversion, conventions } from "birkhoff/conventions";

console.log(conventions["deepseek-v4"]); // its epsilons, its order of rows and columns, the layout of its weights
console.log(conversion("deepseek-v4", "paper")); // what changes, and whether the result is exact

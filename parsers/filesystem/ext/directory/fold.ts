/**
 * A name as casefolded directories compare it: Unicode's canonical caseless matching (Unicode 15,
 * D145), which Linux does with `utf8nfdicf`. JavaScript has no full case folding; lower case of upper
 * case of lower case is the same but for the dotless i, which folds to itself. Unicode's version is
 * this runtime's, a name of characters younger than the volume's may so match where Linux's do not.
 */
export function foldName(name: string): string {
  if (!name.isWellFormed()) return name;
  let folded = '';
  for (const character of name.normalize('NFD')) {
    folded += character === 'ı' ? character : character.toLowerCase().toUpperCase().toLowerCase();
  }
  return folded.replaceAll(/\p{Default_Ignorable_Code_Point}/gu, '').normalize('NFD');
}

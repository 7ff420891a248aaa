namespace Ndif.Tokenizers.Tests.Differential;

/// <summary>The patterns of published tokenizer.json files, and patterns with the other syntax of Oniguruma.</summary>
internal static class PublishedPatterns
{
    /// <summary>A form of properties that Oniguruma does not know.</summary>
    public const string RefusedByOniguruma = @"\p{Script=Han}";

    public static readonly string[] Published =
    [
        // GPT-2
        @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        // Llama 3
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        // Qwen 2
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        // Qwen 3.5
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        // BLOOM
        @" ?[^(\s|[.,!?…。，、।۔،])]+",
        // GPT-4 (cl100k)
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
        @"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
        // GPT-4o (o200k)
        @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|" +
            @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|" +
            @"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        // Mistral's tekken
        @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|" +
            @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        // Llama 4
        @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}" +
            @"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        // DeepSeek: LLM, coder, V3
        @"[\r\n]", @"\s?\p{L}+", @"\s?\p{P}+", @"[一-龥ࠀ-一가-퟿]+", @"\p{N}+", @"\p{N}{1,3}", @"[一-龥぀-ゟ゠-ヿ]+",
        @"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕ]+",
        @"\s?[!-/:-~！-／：-～‘-‟　-。]+", @"\s+$",
        @"[!""#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        // Falcon, StarCoder, Phi, OLMo, GPT-NeoX
        @"[0-9][0-9][0-9]", @"\d{1,3}(?=(?:\d{3})*\b)", @"\d", @"(?=(\d{3})+(?!\d))",
        @"[\p{P}\$\+<=>\^~\|`]+",
        // Nemotron, GLM, Hunyuan, MiniMax
        @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        // Kimi K2
        @"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|" +
            @"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|" +
            @"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        // CLIP, Whisper, Seed, EXAONE, Jais
        @"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", @" {2,}", @"\s+", @" +", @"\n+",
        @"\t",
        @"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])| ?\p{L}+", @"[ \t]+|\n", @"\p{Han}|\p{Hiragana}|\p{Katakana}",
        RefusedByOniguruma, @"[^\s]+|\s+", @"\S+\s*", @"(?<=\S)\s", @"(?<!\d)\d(?!\d)", @"\w+|[^\w\s]+", @"\b\w",
        @"[a-zA-Z]+(?:-[a-zA-Z]+)*",
    ];

    /// <summary>The syntax of doc/RE of Oniguruma, as its Ruby syntax has it.</summary>
    public static readonly string[] Syntax =
    [
        @"[[:alpha:]]+", @"[[:^alpha:]]", @"[^[:space:][:digit:]]+", @"[[:punct:]]", @"[[:upper:]][[:lower:]]*", @"[[:alnum:]_]+",
        @"[[:word:]]+",
        @"[[:blank:]]", @"[[:cntrl:]]", @"[[:graph:]]+", @"[[:print:]]+", @"[[:xdigit:]]+", @"[[:ascii:]]+", @"\h+", @"\H+", @"\R", @"\d+",
        @"\D+",
        @"\w+", @"\W+", @"\s", @"\S", @"[\w&&[^\d]]+", @"[a-z&&[^aeiou]]+", @"[^a-z&&[^aeiou]]+", @"[a-w&&[^c-g]z]", @"[\p{L}&&\p{ASCII}]+",
        @"[[a-c][x-z]]+", @"[a-c[^x-z]]", @"\p{Alpha}+", @"\p{^Alpha}+", @"\P{Alpha}+", @"\p{Upper}\p{Lower}*", @"\p{Alnum}+",
        @"\p{Latin}+",
        @"\p{Cyrillic}+", @"\p{Greek}+", @"\p{Arabic}", @"\p{Hebrew}", @"\p{Hangul}+", @"\p{Thai}", @"\p{Devanagari}+", @"\p{Common}+",
        @"\p{Letter}+",
        @"\p{Number}", @"\p{Punctuation}", @"\p{Symbol}", @"\p{Lu}", @"\p{Nd}+", @"\p{Zs}", @"\p{Sc}", @"\p{White_Space}+",
        @"\p{Uppercase}+", @"\p{Any}",
        @"a++", @"a?+b", @"(?>a+)b", @"(?:ab)*+c", @"a{2}", @"a{1,2}", @"a{,2}b", @"a{1,}", @"a{1,2}?", @"a{1,2}+", @"a{,}", @"a{x}",
        @"{a}", @"x{",
        @"(?i)the|CAT", @"a(?i)B|c", @"(?i:ß)", @"(?-i:a)", @"(?m:a.b)", @"(?m).+", @".+", @"^a|b$", @"\Aa|b\z|c\Z", @"\Gab",
        @"(?#comment)a", @"(?x: a b )c",
        @"(a)(b)?\1", @"(?<n>a)\k<n>", @"(?=a)", @"(?!a)\w", @"(?<=a)b", @"(?<!a)b", @"a|", @"(|a)b", @"[]a]+", @"[^]a]+", @"[a-]", @"[-a]",
        @"[a\-z]",
        @"[\]\[]", @"\[\]", @"\x41", @"\x{41}", @"\x{1F642}", @"\u0041", @"[\x{4E00}-\x{9FFF}]+", @"\101", @"\t|\n|\r|\f|\v|\a|\e", @"\cA",
        @"\-", @"\#", @"\ ",
        @"🙂+", @"[🙂-🙏]", @"[^a🙂]", @"\X", @"\O", @"\N", @"\K", @"a\Kb", @"\y", @"(?~ab)", @"]", @"}", @"a**", @"a+?", @"(?:a+){2}",
        @"(?<!ab|c)d",
    ];

    public static readonly string[] All = [.. Published, .. Syntax];
}

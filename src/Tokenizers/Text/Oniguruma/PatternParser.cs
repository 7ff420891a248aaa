using System.Globalization;
using System.Text;
using Ndif.Tokenizers.Unicode;

namespace Ndif.Tokenizers.Text.Oniguruma;

/// <summary>
/// Translates a regular expression of Oniguruma, the library that Hugging Face tokenizers use, to .NET's syntax. Every class is computed
/// as a set of code points, because the two libraries define <c>\w</c>, <c>\b</c>, properties and ignored case differently. A construct
/// that .NET cannot express is refused.
/// </summary>
/// <remarks>kkos/oniguruma, doc/RE, ONIG_SYNTAX_ONIGURUMA</remarks>
internal sealed class PatternParser
{
    private const int MaxDepth = 200;

    private readonly PatternScanner _scanner;
    private readonly List<CharacterClass> _classes = [];
    private readonly Dictionary<string, string> _markers = new(StringComparer.Ordinal);
    private readonly bool _hasNamedGroups;
    private int _groups, _depth;

    private PatternParser(string pattern)
    {
        _scanner = new PatternScanner(pattern);
        for (int i = pattern.IndexOf("(?<", StringComparison.Ordinal); i >= 0; i = pattern.IndexOf("(?<", i + 1, StringComparison.Ordinal))
            _hasNamedGroups |= i + 3 < pattern.Length && pattern[i + 3] is not ('=' or '!');
        _hasNamedGroups |= pattern.Contains("(?'", StringComparison.Ordinal);
    }

    /// <exception cref="FormatException">The pattern is invalid, or uses a construct that is not supported.</exception>
    public static TranslatedPattern Parse(string pattern)
    {
        var parser = new PatternParser(pattern);
        string result = parser.ReadAlternatives(default);
        if (!parser._scanner.IsAtEnd) throw parser._scanner.CreateException("a closing parenthesis has no opening one");
        return new TranslatedPattern(result, parser._classes);
    }

    /// <summary>The options <c>(?imx)</c> that apply at a position.</summary>
    private readonly record struct Options(bool IgnoreCase, bool DotAll, bool Extended);

    /// <summary>Reads alternatives up to a closing parenthesis or the end.</summary>
    private string ReadAlternatives(Options options)
    {
        if (++_depth > MaxDepth) throw _scanner.CreateException("the groups are nested too deeply");
        var result = new StringBuilder();
        while (true)
        {
            if (_scanner.IsAtEnd || _scanner.Current == ')') break;
            if (_scanner.TrySkip("|"))
            {
                result.Append('|');
                continue;
            }
            if (TryReadIsolatedOptions(options, out var inner))
            {
                // Options apply up to the end of the group, across alternatives.
                result.Append("(?:").Append(ReadAlternatives(inner)).Append(')');
                break;
            }
            if (options.Extended && TrySkipExtended()) continue;
            result.Append(ReadQuantified(options));
        }
        _depth--;
        return result.ToString();
    }

    private bool TrySkipExtended()
    {
        if (_scanner.TrySkip("#"))
        {
            while (!_scanner.IsAtEnd && _scanner.Current != '\n') _scanner.Position++;
            return true;
        }
        if (!char.IsAsciiLetterOrDigit(_scanner.Current) && char.IsWhiteSpace(_scanner.Current))
        {
            _scanner.Position++;
            return true;
        }
        return false;
    }

    private bool TryReadIsolatedOptions(Options options, out Options result)
    {
        int position = _scanner.Position;
        result = options;
        if (!_scanner.StartsWith("(?") || !TryReadOptionLetters(options, out result) || !_scanner.TrySkip(")"))
        {
            _scanner.Position = position;
            return false;
        }
        return true;
    }

    /// <summary>Reads <c>(?i-m</c> and stops before the closing parenthesis or colon.</summary>
    private bool TryReadOptionLetters(Options options, out Options result)
    {
        result = options;
        int position = _scanner.Position;
        _scanner.Position += 2;
        bool isOn = true;
        for (; !_scanner.IsAtEnd; _scanner.Position++)
        {
            switch (_scanner.Current)
            {
                case '-': isOn = false; break;
                case 'i': result = result with { IgnoreCase = isOn }; break;
                case 'm': result = result with { DotAll = isOn }; break;
                case 'x': result = result with { Extended = isOn }; break;
                case 'W' or 'D' or 'S' or 'P' or 'y' or 'C' or 'I' or 'L':
                    throw PatternScanner.NotSupported($"the option (?{_scanner.Current})", position);
                default:
                    return _scanner.Position > position + 2 && _scanner.Current is ')' or ':';
            }
        }
        return false;
    }

    private string ReadQuantified(Options options)
    {
        int position = _scanner.Position;
        var (atom, canRepeat) = ReadAtom(options);
        if (atom.Length == 0) return ""; // a comment
        while (!_scanner.IsAtEnd)
        {
            if (options.Extended && TrySkipExtended()) continue;
            if (QuantifierParser.Read(_scanner) is not { } quantifier) break;
            if (!canRepeat) throw PatternScanner.CreateException("a quantifier has nothing to repeat", position);
            atom = quantifier.ApplyTo(atom);
        }
        return atom;
    }

    private (string Text, bool CanRepeat) ReadAtom(Options options)
    {
        int position = _scanner.Position;
        switch (_scanner.Current)
        {
            case '(':
                return ReadGroup(options);
            case '[':
                _scanner.Position++;
                return (Marker(BracketParser.Read(_scanner, options.IgnoreCase)), true);
            case '.':
                _scanner.Position++;
                return (Marker(options.DotAll ? CharacterClass.Any : CharacterClass.AnyExceptNewline), true);
            case '^':
                _scanner.Position++;
                return (@"(?:\A|(?<=\n)(?!\z))", true);
            case '$':
                _scanner.Position++;
                return (@"(?=\n|\z)", true);
            case '*' or '+' or '?':
                throw PatternScanner.CreateException("a quantifier has nothing to repeat", position);
            case '\\':
                _scanner.Position++;
                return ReadEscape(options);
            default:
                return (ReadLiteral(_scanner.Next(), options), true);
        }
    }

    private (string Text, bool CanRepeat) ReadEscape(Options options)
    {
        int position = _scanner.Position - 1;
        if (_scanner.TrySkip("w")) return (Marker(EscapeParser.Word), true);
        if (_scanner.TrySkip("W")) return (Marker(EscapeParser.Word.Negate()), true);
        // Outside of brackets, the case of a property counts even with (?i).
        if (EscapeParser.TryReadClass(_scanner) is { } set) return (Marker(set), true);
        char c = _scanner.Current;
        switch (c)
        {
            case 'A' or 'z' or 'Z' or 'G':
                _scanner.Position++;
                return ($@"\{c}", true);
            case 'b' or 'B':
                _scanner.Position++;
                string word = Marker(EscapeParser.Word);
                return (c == 'b' ? $"(?:(?<={word})(?!{word})|(?<!{word})(?={word}))"
                    : $"(?:(?<={word})(?={word})|(?<!{word})(?!{word}))", true);
            case 'R':
                _scanner.Position++;
                return (@"(?>\r\n|[\n-\r\u0085\u2028\u2029])", true);
            case 'N' or 'O':
                _scanner.Position++;
                return (Marker(c == 'O' ? CharacterClass.Any : CharacterClass.AnyExceptNewline), true);
            case 'X' or 'y' or 'Y' or 'K':
                throw PatternScanner.NotSupported($@"\{c}", position);
            case 'g' when _scanner.StartsWith("g<") || _scanner.StartsWith("g'"):
                throw PatternScanner.NotSupported(@"the call of a group, \g", position);
            case 'k' when _scanner.StartsWith("k<") || _scanner.StartsWith("k'"):
                return (ReadNamedReference(options, position), true);
            case >= '1' and <= '9':
                return ReadNumberedReference(options, position) is { } reference ? (reference, true)
                    : (ReadLiteral(EscapeParser.ReadCodePoint(_scanner), options), true);
            default:
                return (ReadLiteral(EscapeParser.ReadCodePoint(_scanner), options), true);
        }
    }

    private string? ReadNumberedReference(Options options, int position)
    {
        int start = _scanner.Position;
        int number = _scanner.Digits(10, 4)!.Value;
        if (number > _groups && number > 9)
        {
            _scanner.Position = start;
            return null;
        }
        return Reference(number, options, position);
    }

    private string ReadNamedReference(Options options, int position)
    {
        char close = _scanner.StartsWith("k<") ? '>' : '\'';
        _scanner.Position += 2;
        string name = _scanner.Until(close, "the reference");
        if (!int.TryParse(name, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number))
            return name.All(c => char.IsLetterOrDigit(c) || c == '_') && name.Length > 0
                ? $@"(?:\k<{GroupName(name)}>)" : throw PatternScanner.NotSupported("the reference to a level", position);
        if (name[0] == '-') number = _groups + 1 + number;
        else if (name[0] == '+') number = _groups + number;
        return Reference(number, options, position);
    }

    private string Reference(int number, Options options, int position)
    {
        if (_hasNamedGroups) throw PatternScanner.CreateException("a numbered reference beside named groups is not allowed", position);
        if (options.IgnoreCase) throw PatternScanner.NotSupported("a reference that ignores case", position);
        if (number < 1 || number > _groups) throw PatternScanner.CreateException($"there is no group {number}", position);
        return string.Create(CultureInfo.InvariantCulture, $@"(?:\{number})");
    }

    private (string Text, bool CanRepeat) ReadGroup(Options options)
    {
        int position = _scanner.Position;
        foreach (string lookaround in (ReadOnlySpan<string>)["(?=", "(?!", "(?<=", "(?<!", "(?>", "(?:"])
            if (_scanner.TrySkip(lookaround)) return (Close(lookaround, options, position), true);
        if (_scanner.TrySkip("(?#"))
        {
            _scanner.Until(')', "the comment");
            return ("", false);
        }
        if (_scanner.StartsWith("(?<") || _scanner.StartsWith("(?'"))
        {
            char close = _scanner.StartsWith("(?<") ? '>' : '\'';
            _scanner.Position += 3;
            string name = _scanner.Until(close, "the name of the group");
            if (name.Length == 0 || !name.All(c => char.IsLetterOrDigit(c) || c == '_') || char.IsDigit(name[0]))
                throw PatternScanner.CreateException($"the group name '{name}' is not valid", position);
            _groups++;
            return (Close($"(?<{GroupName(name)}>", options, position), true);
        }
        if (_scanner.StartsWith("(?~")) throw PatternScanner.NotSupported("the absent function (?~", position);
        if (_scanner.StartsWith("(?(")) throw PatternScanner.NotSupported("the condition (?(", position);
        if (_scanner.StartsWith("(?{") || _scanner.StartsWith("(*")) throw PatternScanner.NotSupported("a callout", position);
        if (_scanner.StartsWith("(?"))
        {
            if (TryReadOptionLetters(options, out var inner) && _scanner.TrySkip(":")) return (Close("(?:", inner, position), true);
            throw PatternScanner.CreateException("the group is not known", position);
        }
        _scanner.Position++;
        if (!_hasNamedGroups) _groups++;
        return (Close(_hasNamedGroups ? "(?:" : "(", options, position), true);
    }

    /// <summary>.NET's group names are ASCII here, because the translated pattern is.</summary>
    private static string GroupName(string name) => "n" + System.Convert.ToHexString(Encoding.UTF8.GetBytes(name));

    private string Close(string open, Options options, int position)
    {
        string body = ReadAlternatives(options);
        if (!_scanner.TrySkip(")")) throw PatternScanner.CreateException("the group has no closing parenthesis", position);
        return $"{open}{body})";
    }

    private string ReadLiteral(int code, Options options)
    {
        if (!options.IgnoreCase) return code <= 0xFFFF ? CharacterClass.WriteChar(code) : Marker(CharacterClass.Of(code, code));
        if (MultipleCharacterFolding.TryRead(code, _scanner) is { } sequence) return $"(?:{sequence.Text}|{Marker(sequence.Ligatures)})";
        var variants = CaseFolding.VariantsOf(code);
        return variants.Count == 1 && code <= 0xFFFF ? CharacterClass.WriteChar(code)
            : Marker(new CharacterClass(CodePointSet.Of(variants.Select(variant => (variant, variant)))));
    }

    /// <summary>Returns the marker that stands for a class. Equal classes share one.</summary>
    private string Marker(CharacterClass set)
    {
        string key = $"{set.IsNegated}{set.DotNetBody}/{string.Join(',', set.Set.Ranges)}";
        if (_markers.TryGetValue(key, out string? marker)) return marker;
        if (_classes.Count == TranslatedPattern.MaxClasses) throw _scanner.CreateException("there are too many character classes");
        _classes.Add(set);
        return _markers[key] = ((char)(TranslatedPattern.FirstMarker + _classes.Count - 1)).ToString();
    }
}

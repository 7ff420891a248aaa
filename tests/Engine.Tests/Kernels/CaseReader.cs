using System.Globalization;
using Ndif.Engine.Kernels;
using TorchSharp;
using static TorchSharp.torch;

namespace Ndif.Engine.Tests.Kernels;

/// <summary>
/// Parses the Python literals of a case: numbers, strings, lists, tuples, None, slice(1, None), Ellipsis, and tensors as f64[1., 2.].
/// </summary>
internal sealed class CaseReader(string text)
{
    private static readonly Dictionary<string, ScalarType> _types = new()
    {
        ["f16"] = ScalarType.Float16,
        ["bf16"] = ScalarType.BFloat16,
        ["f32"] = ScalarType.Float32,
        ["f64"] = ScalarType.Float64,
        ["u8"] = ScalarType.Byte,
        ["i8"] = ScalarType.Int8,
        ["i16"] = ScalarType.Int16,
        ["i32"] = ScalarType.Int32,
        ["i64"] = ScalarType.Int64,
        ["b"] = ScalarType.Bool,
        ["c64"] = ScalarType.ComplexFloat32,
    };

    private int _at;

    public bool AtEnd => Rest().Length == 0;

    public string Rest() => text[_at..].Trim();

    /// <summary>name(argument, keyword=argument)</summary>
    public (string Name, List<object?> Arguments, Dictionary<string, object?> Keywords) Call()
    {
        string name = Word();
        List<object?> arguments = [];
        Dictionary<string, object?> keywords = [];
        Expect('(');
        while (!Take(')'))
        {
            int start = _at;
            Skip();
            string word = Word();
            if (word.Length > 0 && Take('=')) keywords.Add(word, Value());
            else
            {
                _at = start;
                arguments.Add(Value());
            }
            Take(',');
        }
        return (name, arguments, keywords);
    }

    public object? Value()
    {
        Skip();
        char next = text[_at];
        if (Take('[')) return Until(']');
        if (Take('(')) return Until(')').ToArray();
        if (Take('{'))
        {
            Dictionary<string, object?> map = [];
            while (!Take('}'))
            {
                string key = (string)Value()!;
                Expect(':');
                map.Add(key, Value());
                Take(',');
            }
            return map;
        }
        if (next == '\'')
        {
            int end = text.IndexOf('\'', _at + 1);
            string quoted = text[(_at + 1)..end];
            _at = end + 1;
            return quoted;
        }
        if (char.IsAsciiDigit(next) || next is '-' or '.') return Number();
        string word = Word();
        if (word.Length > 0 && _types.TryGetValue(word, out ScalarType type))
            return Take('(') ? new TensorLiteral(type, Until(')')[0]) : Peek('[') ? new TensorLiteral(type, Value()) : type;
        return word switch
        {
            "None" => null,
            "True" => true,
            "False" => false,
            "nan" => double.NaN,
            "inf" => double.PositiveInfinity,
            "Ellipsis" => EllipsisValue.Instance,
            "slice" => Slice(),
            _ => throw new FormatException($"'{word}' in {text}"),
        };
    }

    private SliceValue Slice()
    {
        Expect('(');
        List<object?> parts = Until(')');
        return new SliceValue(parts[0], parts[1], parts.Count > 2 ? parts[2] : null);
    }

    private object Number()
    {
        int start = _at;
        while (_at < text.Length && (char.IsAsciiLetterOrDigit(text[_at]) || text[_at] is '-' or '.' or '+')) _at++;
        string number = text[start.._at];
        return number == "-inf" ? double.NegativeInfinity
            : long.TryParse(number, CultureInfo.InvariantCulture, out long integer) ? (object)integer
            : double.Parse(number, CultureInfo.InvariantCulture);
    }

    private List<object?> Until(char close)
    {
        List<object?> items = [];
        while (!Take(close))
        {
            items.Add(Value());
            Take(',');
        }
        return items;
    }

    private string Word()
    {
        Skip();
        int start = _at;
        while (_at < text.Length && (char.IsAsciiLetterOrDigit(text[_at]) || text[_at] == '_')) _at++;
        return text[start.._at];
    }

    private bool Peek(char c)
    {
        Skip();
        return _at < text.Length && text[_at] == c;
    }

    private bool Take(char c)
    {
        if (!Peek(c)) return false;
        _at++;
        return true;
    }

    private void Expect(char c)
    {
        if (!Take(c)) throw new FormatException($"'{c}' expected at {_at} in {text}");
    }

    private void Skip()
    {
        while (_at < text.Length && text[_at] == ' ') _at++;
    }
}

/// <summary>The literal of a tensor.</summary>
internal sealed record TensorLiteral(ScalarType Type, object? Data);

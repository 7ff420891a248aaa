using System.Numerics;

namespace Ndif.Tokenizers.Chat.Methods;

/// <summary>The methods and attributes of numbers.</summary>
/// <remarks>docs.python.org/3/library/stdtypes.html#additional-methods-on-integer-types</remarks>
internal static class NumberMethods
{
    /// <summary>Returns a method or attribute of a number, or null if numbers of this type have none of this name.</summary>
    public static object? Find(object? target, string name)
    {
        if (target is double real)
        {
            return name switch
            {
                "is_integer" => Method(name, () => double.IsFinite(real) && real == Math.Floor(real)),
                "real" => TemplateAccess.Wrap(real),
                "imag" => TemplateAccess.Wrap(0.0),
                "conjugate" => Method(name, () => real),
                "as_integer_ratio" or "hex" or "fromhex" => throw CreateException(name),
                _ => null,
            };
        }
        BigInteger integer = TemplateNumbers.ToBigInteger(target!);
        return name switch
        {
            "real" or "numerator" => TemplateAccess.Wrap(TemplateNumbers.Normalize(integer)),
            "imag" => TemplateAccess.Wrap(0L),
            "denominator" => TemplateAccess.Wrap(1L),
            "conjugate" => Method(name, () => TemplateNumbers.Normalize(integer)),
            "bit_length" => Method(name, () => BigInteger.Abs(integer).IsZero ? 0L : BigInteger.Abs(integer).GetBitLength()),
            "bit_count" => Method(name, () => (long)BigInteger.Abs(integer).ToByteArray().Sum(b => BitOperations.PopCount(b))),
            "as_integer_ratio" or "to_bytes" or "from_bytes" => throw CreateException(name),
            _ => null,
        };
    }

    private static TemplateFunction Method(string name, Func<object?> compute) => (arguments, _) =>
    {
        arguments.Bind(name);
        return compute();
    };

    private static ChatTemplateException CreateException(string name) => new($"the method `{name}` of a number is not supported");
}

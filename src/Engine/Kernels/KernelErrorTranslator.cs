using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using Ndif.Engine.Running;
using Ndif.Protocol;
using Ndif.Protocol.Ops;

namespace Ndif.Engine.Kernels;

/// <summary>Translates exceptions of libtorch to errors that name the operation and its shapes, without the C++ stack.</summary>
internal static partial class KernelErrorTranslator
{
    public static Exception Translate(Exception exception, OpSchema schema, object?[] bound)
    {
        string message = LibtorchErrors.FirstLine(exception).TrimEnd(' ', '.', '\r', ':');
        string tensors = DescribeSafely(() => Describe.Tensors(schema, bound));
        string where = $"in {schema.Name}({tensors})";
        if (LibtorchErrors.IsOutOfMemory(exception))
            return Errors.CreateException(ErrorCode.OutOfMemory, $"Not enough memory: {message}, {where}");
        if (message.Contains("'Meta' backend", StringComparison.Ordinal)
            || message.Contains("meta tensor", StringComparison.OrdinalIgnoreCase))
            return Errors.CreateException(ErrorCode.Unsupported, $"A scan has no rule for the shape of {schema.Name}({tensors}).",
                "Run the trace, or leave this part out of the scan.");
        if (OutOfBoundsPattern().Match(message) is { Success: true } bounds)
            return Errors.CreateException(ErrorCode.IndexOutOfRange, bounds.Value, where);
        if (SelectPattern().Match(message) is { Success: true } select)
        {
            long[] sizes =
                [.. select.Groups["sizes"].Value.Split(',').Select(s => long.Parse(s, System.Globalization.CultureInfo.InvariantCulture))];
            int dim = int.Parse(select.Groups["dim"].Value, System.Globalization.CultureInfo.InvariantCulture);
            return Errors.CreateException(ErrorCode.IndexOutOfRange,
                $"index {select.Groups["index"].Value} is out of bounds for dimension {dim} with size {sizes[dim]}", where);
        }
        if (IndexPattern().IsMatch(message)) return Errors.CreateException(ErrorCode.IndexOutOfRange, $"{message}, {where}");
        if (ShapePattern().IsMatch(message)) return Errors.CreateException(ErrorCode.ShapeMismatch, $"{message}, {where}");
        return Errors.CreateException(ErrorCode.OpFailed, exception is ExternalException or ArgumentException or InvalidOperationException
            or NotSupportedException
            ? $"{message}, {where}"
            : $"{schema.Name} failed: {exception.GetType().Name}: {message}, {where}");
    }

    /// <summary>Runs a description; an exception in it must not hide the error that it describes.</summary>
    private static string DescribeSafely(Func<string> describe)
    {
        try
        {
            return describe();
        }
        catch (Exception)
        {
            return "";
        }
    }

    [GeneratedRegex("index -?\\d+ is out of bounds for dimension \\d+ with size \\d+")]
    private static partial Regex OutOfBoundsPattern();

    [GeneratedRegex("index (?<index>-?\\d+) out of range for tensor of size \\[(?<sizes>[\\d, ]+)\\] at dimension (?<dim>\\d+)")]
    private static partial Regex SelectPattern();

    [GeneratedRegex("out of range|out of bounds|too many indices|INDICES element is out of DATA", RegexOptions.IgnoreCase)]
    private static partial Regex IndexPattern();

    [GeneratedRegex(
        "\\bsizes?\\b|shape|broadcast|dimension|\\bdims?\\b|[1-3]-?D\\b|square matri|expected a matrix|equal size|inconsistent tensor",
        RegexOptions.IgnoreCase)]
    private static partial Regex ShapePattern();
}

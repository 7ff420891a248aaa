using System.ComponentModel.DataAnnotations;
using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>Checks options against the bounds that their attributes declare.</summary>
public static class OptionsValidator
{
    /// <summary>One sentence for each bound that does not hold.</summary>
    public static IReadOnlyList<string> GetViolations(object options)
    {
        List<ValidationResult> violations = [];
        Validator.TryValidateObject(options, new ValidationContext(options), violations, validateAllProperties: true);
        return [.. violations.Select(violation => violation.ErrorMessage!)];
    }

    /// <summary>The options, if every bound holds.</summary>
    /// <param name="subject">What the error begins with.</param>
    /// <exception cref="NdifException">BAD_ARGUMENT, with one sentence for each bound that does not hold.</exception>
    public static T Validate<T>(T options, string subject) where T : class =>
        GetViolations(options) is { Count: > 0 } violations
            ? throw Errors.CreateException(ErrorCode.BadArgument, $"{subject}: {string.Join(" ", violations)}")
            : options;
}

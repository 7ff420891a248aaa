using System.ComponentModel.DataAnnotations;
using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>Checks options against the bounds that their attributes declare.</summary>
public static class OptionsValidator
{
    /// <summary>Returns one sentence for each violated bound.</summary>
    public static IReadOnlyList<string> GetViolations(object options)
    {
        List<ValidationResult> violations = [];
        Validator.TryValidateObject(options, new ValidationContext(options), violations, validateAllProperties: true);
        return [.. violations.Select(violation => violation.ErrorMessage!)];
    }

    /// <summary>Returns the options if no bound is violated.</summary>
    /// <param name="subject">The beginning of the error message.</param>
    /// <exception cref="NdifException">BAD_ARGUMENT: one sentence for each violated bound.</exception>
    public static T Validate<T>(T options, string subject) where T : class =>
        GetViolations(options) is { Count: > 0 } violations
            ? throw Errors.CreateException(ErrorCode.BadArgument, $"{subject}: {string.Join(" ", violations)}")
            : options;
}
